package target

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// A Secret is replaced only where Kubernetes leaves no other way: not for a label, nor for what it holds already.
func TestReplacedOnlyWhenNeeded(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"a": "1"})
	d.Immutable = true
	first := b.apply(d)
	b.apply(d) // takes away what Create left in managedFields
	b.untouched("nothing changed", func() { b.apply(d) })
	d.Labels = map[string]string{"team": "ops"}
	if at := b.apply(d); at.UID != first.UID || b.get().Labels["team"] != "ops" {
		t.Error("replaced for a label")
	}
	d.Immutable = false
	second := b.apply(d)
	if s := b.want(map[string]string{"a": "1"}); second.UID == first.UID || s.Immutable != nil && *s.Immutable {
		t.Error("still immutable")
	}
	d.Data["a"] = []byte("2")
	if at := b.apply(d); at.UID != second.UID {
		t.Error("replaced although it may be changed")
	}
	b.want(map[string]string{"a": "2"})
}

// An adopted Secret of another type, immutable at that, becomes what is wanted; the offer is what allows it.
func TestAdoptedAndReplaced(t *testing.T) {
	b := newBench(t)
	yes := true
	_, err := b.core.Secrets(b.owner.Namespace).Create(t.Context(), &corev1.Secret{
		ObjectMeta: metav1.ObjectMeta{Name: "db"}, Type: corev1.SecretTypeBasicAuth, Immutable: &yes,
		StringData: map[string]string{"username": "u"}}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	d := b.desired(map[string]string{"a": "1"})
	b.untouched("a Secret of somebody else", func() {
		if _, err := b.Apply(t.Context(), d); reconcile.ReasonOf(err) != v1alpha1.ReasonConflict {
			t.Errorf("got %v", err)
		}
	})
	b.patch(`{"metadata":{"annotations":{"scaivault.io/adopt":"db"}}}`)
	b.apply(d)
	if s := b.want(map[string]string{"a": "1"}); s.Type != corev1.SecretTypeOpaque || s.Immutable != nil || len(s.OwnerReferences) != 1 {
		t.Errorf("%s %+v", s.Type, s.ObjectMeta)
	}
}

// A type that wants keys which are not there is refused by the API server; the message names them and no value, and a
// Secret of another type stays until it can be replaced.
func TestTypeWithoutItsKeys(t *testing.T) {
	b := newBench(t)
	first := b.apply(b.desired(map[string]string{"tls.crt": "hunter2"}))
	d := b.desired(map[string]string{"tls.crt": "hunter2"})
	d.Name, d.Type = "fresh", corev1.SecretTypeTLS
	_, err := b.Apply(t.Context(), d)
	if reconcile.ReasonOf(err) != v1alpha1.ReasonInvalidData || !strings.Contains(err.Error(), "data[tls.key]") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
	d.Name = "db"
	if _, err := b.Apply(t.Context(), d); reconcile.ReasonOf(err) != v1alpha1.ReasonInvalidData {
		t.Errorf("got %v", err)
	}
	if s := b.want(map[string]string{"tls.crt": "hunter2"}); s.UID != first.UID {
		t.Error("replaced by nothing better")
	}
	d.Data["tls.key"] = []byte("x")
	if at := b.apply(d); at.UID == first.UID || b.get().Type != corev1.SecretTypeTLS {
		t.Error("not replaced")
	}
}
