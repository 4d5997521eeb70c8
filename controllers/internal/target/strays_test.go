package target

import (
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Of an owner that is gone nothing is known but its name: its keys go, or stay where it said so, and those of others
// are left alone. A second time does nothing.
func TestDepart(t *testing.T) {
	b := newBench(t)
	b.foreign("somebody", map[string]string{"theirs": "x"})
	leaves, stays, other := b.sharedBy("leaves", "a=1"), b.sharedBy("stays", "b=2"), b.sharedBy("other", "c=3")
	stays.Retain = true
	for _, d := range []Desired{leaves, stays, other} {
		if got := b.share(d); got != "" {
			t.Fatalf("conflicts %s", got)
		}
	}
	s := b.want(map[string]string{"a": "1", "b": "2", "c": "3", "theirs": "x"})
	if owners := ShareOwners(s, "VaultSecret"); !slices.Equal(slices.Sorted(slices.Values(owners)), []string{"leaves", "other", "stays"}) {
		t.Errorf("owners %v", owners)
	}
	for _, name := range []string{"leaves", "stays", "nobody", "stays"} {
		if err := b.Depart(t.Context(), Owner{Kind: "VaultSecret", Namespace: b.owner.Namespace, Name: name}, []string{"db", "none"}); err != nil {
			t.Fatal(err)
		}
	}
	s = b.want(map[string]string{"b": "2", "c": "3", "theirs": "x"})
	if owners := ShareOwners(s, "VaultSecret"); !slices.Equal(owners, []string{"other"}) {
		t.Errorf("owners %v", owners)
	}
}

// Whether keys stay is written where the owner cannot be asked any more, follows what he wants, and is repaired.
func TestRetainMark(t *testing.T) {
	b := newBench(t)
	d := b.sharedBy("one", "a=1", "b=2")
	mark := KeysAnnotation(d.Owner)
	for _, retain := range []bool{false, true, false, true} {
		d.Retain = retain
		b.share(d)
		s := b.get()
		if keys, found := listed(s, mark); !found || !keys["a"] || !keys["b"] || len(keys) != 2 || retained(s, mark) != retain {
			t.Errorf("retain %t: %q", retain, s.Annotations[mark])
		}
		if !look(s, d.Owner).intact(d) {
			t.Error("not as we left it")
		}
	}
	b.patch(`{"metadata":{"annotations":{"` + mark + `":"a,b"}}}`)
	if look(b.get(), d.Owner).intact(d) {
		t.Error("a mark that was taken off is no drift")
	}
}

// A field manager of a long name is found again under the name that it has in managedFields.
func TestShareOwnersOfLongNames(t *testing.T) {
	o := Owner{Kind: "VaultSecret", Name: strings.Repeat("x", 250)}
	m := &metav1.ObjectMeta{
		Annotations:   map[string]string{KeysAnnotation(o): "a"},
		ManagedFields: []metav1.ManagedFieldsEntry{{Manager: FieldManager(o)}, {Manager: FieldManager(o), Operation: "Update"}, {Manager: "kubectl-edit"}},
	}
	found := ShareOwners(m, "VaultSecret")
	if len(found) != 1 || KeysAnnotation(Owner{Kind: "VaultSecret", Name: found[0]}) != KeysAnnotation(o) {
		t.Errorf("found %v", found)
	}
	m.Annotations = map[string]string{v1alpha1.AnnotationMade: "true"}
	if found := ShareOwners(m, "VaultSecret"); found != nil {
		t.Errorf("found %v in a Secret that nobody shares", found)
	}
}
