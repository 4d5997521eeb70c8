// Package v1alpha1 holds the resources of group scaivault.io.
//
// The schema is meant to become v1 unchanged: nothing is defaulted into a spec, durations are one
// string type, choices are enums, and every list in a status is capped with a count beside it.
//
// +kubebuilder:object:generate=true
// +groupName=scaivault.io
package v1alpha1
