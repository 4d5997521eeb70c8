package target

import (
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// standing is how an existing Secret stands to an owner.
type standing int

const (
	foreign  standing = iota // somebody else's, or nobody's
	ours                     // carries our owner reference, or nobody's and our status records it
	offered                  // says that the owner of this name may take it
	previous                 // carries the owner reference of an earlier object of this kind and name
)

// stand decides from metadata alone whose a Secret is.
func stand(m metav1.Object, o Owner) standing {
	ref := metav1.GetControllerOfNoCopy(m)
	adopt := m.GetAnnotations()[v1alpha1.AnnotationAdopt]
	switch {
	case ref == nil && adopt == o.Name:
		return offered
	case ref == nil && adopt == "" && o.Made != "" && m.GetUID() == o.Made:
		return ours
	case ref == nil:
		return foreign
	case ref.UID == o.UID:
		return ours
	case ref.APIVersion == v1alpha1.GroupVersion.String() && ref.Kind == o.Kind && ref.Name == o.Name:
		return previous
	}
	return foreign
}

// describe says whose a Secret is that is not ours, and what to do about it.
func describe(m metav1.Object, o Owner) error {
	if ref := metav1.GetControllerOfNoCopy(m); ref != nil {
		return fmt.Errorf("Secret %s is controlled by %s %s; choose another spec.target.name", m.GetName(), ref.Kind, ref.Name) //nolint:staticcheck // Secret is the kind
	}
	if by := m.GetAnnotations()[v1alpha1.AnnotationAdopt]; by != "" {
		return fmt.Errorf("Secret %s is reserved for %s by its annotation %s; change the annotation, or choose another spec.target.name", m.GetName(), by, v1alpha1.AnnotationAdopt) //nolint:staticcheck // Secret is the kind
	}
	if IsShared(m) {
		return fmt.Errorf("Secret %s is shared by others; set spec.target.mode to Shared to write keys beside theirs, or choose another spec.target.name", m.GetName()) //nolint:staticcheck // Secret is the kind
	}
	return fmt.Errorf("Secret %s exists and was not made by this object; to hand it over: kubectl -n %s annotate secret %s %s=%s", //nolint:staticcheck // Secret is the kind
		m.GetName(), o.Namespace, m.GetName(), v1alpha1.AnnotationAdopt, o.Name)
}
