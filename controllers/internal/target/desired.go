package target

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Owner is the object that a Secret is written for. The Secret is always in its namespace.
type Owner struct {
	Kind      string
	Namespace string
	Name      string
	UID       types.UID
	// Made is the UID of the Secret that the owner's status records, empty if none. That Secret stays ours
	// although somebody took our owner reference off it.
	Made types.UID
}

// Desired is the Secret as it should be.
type Desired struct {
	Owner       Owner
	Name        string
	Type        corev1.SecretType // empty: Opaque
	Labels      map[string]string
	Annotations map[string]string
	Data        map[string][]byte
	Immutable   bool
	// Retain keeps the Secret when the owner is deleted: it gets no owner reference, and the annotation
	// scaivault.io/adopt instead, by which an owner of the same name takes it up again.
	Retain bool
}

// State identifies one state of one Secret.
type State struct {
	Name            string
	UID             types.UID
	ResourceVersion string
}

// managerLimit is the greatest length of a field manager in Kubernetes.
const managerLimit = 128

// FieldManager is the name under which an owner's fields stand in managedFields.
func FieldManager(o Owner) string {
	name := "scaivault/" + o.Kind + "/" + o.Name
	if len(name) <= managerLimit {
		return name
	}
	sum := sha256.Sum256([]byte(o.Name))
	return "scaivault/" + o.Kind + "/" + hex.EncodeToString(sum[:20])
}

func (d Desired) secretType() corev1.SecretType {
	if d.Type == "" {
		return corev1.SecretTypeOpaque
	}
	return d.Type
}

func (d Desired) labels() map[string]string {
	l := maps.Clone(d.Labels)
	if l == nil {
		l = map[string]string{}
	}
	l[v1alpha1.LabelManaged] = "true"
	return l
}

func (d Desired) annotations() map[string]string {
	a := maps.Clone(d.Annotations)
	if d.Retain {
		if a == nil {
			a = map[string]string{}
		}
		a[v1alpha1.AnnotationAdopt] = d.Owner.Name
	}
	return a
}

func (d Desired) ownerReferences() []metav1.OwnerReference {
	if d.Retain {
		return nil
	}
	yes := true
	return []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: d.Owner.Kind, Name: d.Owner.Name, UID: d.Owner.UID, Controller: &yes,
	}}
}

// keys returns the keys in order.
func (d Desired) keys() []string { return slices.Sorted(maps.Keys(d.Data)) }
