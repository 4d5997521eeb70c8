package target

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// What entries of managedFields hold, in the shape that Kubernetes writes and in others.
func TestHeld(t *testing.T) {
	cases := []struct{ fields, data, labels, notes string }{
		{`{"f:data":{".":{},"f:a":{},"f:b.c":{}},"f:metadata":{"f:labels":{"f:team":{}},"f:annotations":{".":{},"f:x/y":{}}},"f:type":{}}`, "a b.c", "team", "x/y"},
		{`{}`, "", "", ""},
		{`{"f:metadata":{"f:ownerReferences":{"k:{\"uid\":\"u\"}":{}}}}`, "", "", ""},
		{`{"f:data":"x"}`, "", "", ""},
		{`{"f:data":{"f:":{}}}`, "", "", ""},
		{`nonsense`, "", "", ""},
		{``, "", "", ""},
	}
	for _, c := range cases {
		h := held(metav1.ManagedFieldsEntry{Manager: "m", Operation: metav1.ManagedFieldsOperationApply, FieldsV1: metav1.NewFieldsV1(c.fields)})
		got := []string{inOrder(h.data), inOrder(h.labels), inOrder(h.notes)}
		if diff := cmp.Diff([]string{c.data, c.labels, c.notes}, got); diff != "" || h.manager != "m" || !h.applied {
			t.Errorf("%s: %+v\n%s", c.fields, h, diff)
		}
	}
}

func inOrder(n names) string { return strings.Join(slices.Sorted(maps.Keys(n)), " ") }

// Whoever may write a Secret may write managedFields and annotations as he likes: neither makes us panic, and no name
// that is empty comes out.
func FuzzHeld(f *testing.F) {
	f.Add(`{"f:data":{".":{},"f:a":{}}}`, "a,b")
	f.Add(`{"f:metadata":{"f:labels":{"f:x":null}}}`, ",,")
	f.Fuzz(func(t *testing.T, fields, keys string) {
		m := &metav1.ObjectMeta{
			Annotations:   map[string]string{v1alpha1.AnnotationKeysPrefix + "x": keys},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "m", FieldsV1: metav1.NewFieldsV1(fields)}},
		}
		s := look(m, Owner{Kind: "VaultSecret", Name: "one"})
		for _, h := range s.all {
			if h.data[""] || h.labels[""] || h.notes[""] {
				t.Errorf("a nameless field in %q", fields)
			}
		}
		named, found := listed(m, v1alpha1.AnnotationKeysPrefix+"x")
		if !found || named[""] {
			t.Errorf("%q names %v", keys, named)
		}
		for k := range named {
			if s.keyHolder(k) == "" {
				t.Errorf("nobody holds %q, which %q names", k, keys)
			}
		}
	})
}
