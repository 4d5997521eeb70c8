package target

import (
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"slices"
	"strings"

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
	// Made is the UID of the Exclusive Secret that the owner's status records, empty if none. That Secret stays
	// ours although somebody took our owner reference off it.
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
	// scaivault.io/adopt instead, by which an owner of the same name takes it up again. In a Shared one the list of
	// the owner's keys says so.
	Retain bool
	// Shared leaves room for others: only Data, Labels and Annotations are ours, and what somebody else holds is
	// left to him. Type counts only when the Secret is made and must agree afterwards; Immutable cannot be.
	Shared bool

	made bool // of a Shared one: by the operator
}

// Result is what Apply left.
type Result struct {
	// State is what the Secret is now; zero where all that was wanted of a Shared one is held by others.
	State
	// Wrote tells whether anything was written.
	Wrote bool
	// Conflicts are what of a Shared Secret was left to others.
	Conflicts []Conflict
}

// State identifies one state of one Secret.
type State struct {
	Name            string
	UID             types.UID
	ResourceVersion string
}

func stateOf(s metav1.Object) State {
	return State{Name: s.GetName(), UID: s.GetUID(), ResourceVersion: s.GetResourceVersion()}
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
	if a == nil {
		a = map[string]string{}
	}
	switch {
	case d.Shared:
		a[KeysAnnotation(d.Owner)] = d.listing()
		if d.made {
			a[v1alpha1.AnnotationMade] = "true"
		}
	case d.Retain:
		a[v1alpha1.AnnotationAdopt] = d.Owner.Name
	}
	return a
}

// listing is the value of the keys annotation.
func (d Desired) listing() string {
	keys := strings.Join(d.keys(), ",")
	if d.Retain {
		return retainMark + keys
	}
	return keys
}

func (d Desired) ownerReferences() []metav1.OwnerReference {
	if d.Retain || d.Shared {
		return nil
	}
	yes := true
	return []metav1.OwnerReference{{
		APIVersion: v1alpha1.GroupVersion.String(), Kind: d.Owner.Kind, Name: d.Owner.Name, UID: d.Owner.UID, Controller: &yes,
	}}
}

// object is the Secret to create.
func (d Desired) object() *corev1.Secret {
	s := &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: d.Owner.Namespace, Name: d.Name, Labels: d.labels(),
			Annotations: d.annotations(), OwnerReferences: d.ownerReferences(),
		},
		Type: d.secretType(), Data: d.Data,
	}
	if d.Immutable {
		s.Immutable = &d.Immutable
	}
	return s
}

// keys returns the keys in order.
func (d Desired) keys() []string { return slices.Sorted(maps.Keys(d.Data)) }
