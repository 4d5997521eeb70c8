package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupVersion is the group and version of every kind in this package.
var GroupVersion = schema.GroupVersion{Group: "scaivault.io", Version: "v1alpha1"} //nolint:gochecknoglobals // Go has no constant structs, and this is one

// AddToScheme registers the kinds of this package.
func AddToScheme(s *runtime.Scheme) error {
	s.AddKnownTypes(GroupVersion,
		&VaultSecret{}, &VaultSecretList{},
		&VaultPolicy{}, &VaultPolicyList{},
		&RotationSchedule{}, &RotationScheduleList{},
		&PKIIssuer{}, &PKIIssuerList{},
		&ClusterPKIIssuer{}, &ClusterPKIIssuerList{},
	)
	metav1.AddToGroupVersion(s, GroupVersion)
	return nil
}
