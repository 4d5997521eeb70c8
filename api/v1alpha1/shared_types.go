package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Duration is a length of time such as 30s, 15m, 1h30m, 90d or 2w; d is 24 hours and w is 7 days.
//
// +kubebuilder:validation:MaxLength=32
// +kubebuilder:validation:XValidation:rule="self.matches('^([1-9][0-9]{0,8}[smhdw]|([0-9]{1,8}h)?([0-9]{1,8}m)?([0-9]{1,8}s)?)$') && self.matches('[1-9]')",message="must be a positive duration such as 30s, 15m, 1h30m, 90d or 2w"
type Duration string

// SecretPath is the path of a secret in the vault: one to ten segments of a-z, 0-9, - and _, parted by slashes.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_-]+(/[a-z0-9_-]+){0,9}$')",message="must be one to ten segments of a-z, 0-9, - and _, parted by single slashes, without a leading or trailing slash"
// +kubebuilder:validation:XValidation:rule="!self.matches('(^|/)(metadata|versions)$')",message="must not end in the reserved segment metadata or versions"
type SecretPath string

// PathPrefix is the beginning of paths in the vault: one to nine segments as in a path, each followed by a slash.
//
// +kubebuilder:validation:MinLength=2
// +kubebuilder:validation:MaxLength=511
// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9_-]+/){1,9}$')",message="must be one to nine segments of a-z, 0-9, - and _, each followed by a single slash, such as environments/production/billing/"
type PathPrefix string

// ObjectStatus is the part of a status that every kind has.
type ObjectStatus struct {
	// observedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`

	// conditions are Ready, and Reconciling or Stalled while they are true.
	// +optional
	// +listType=map
	// +listMapKey=type
	// +kubebuilder:validation:MaxItems=16
	Conditions []metav1.Condition `json:"conditions,omitempty"`

	// lastHandledRequest echoes the annotation scaivault.io/requestedAt that was last acted upon.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	LastHandledRequest string `json:"lastHandledRequest,omitempty"`
}
