package vaultpolicy

import (
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/scailabs/scaivault/api/v1alpha1"
	vault "github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Mistake 50: a field that was left out made an informer's handler panic, and the events that followed were lost.
// What every handler does with objects that hold nothing but a name.
func TestMistake50BareObjects(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	bare := &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: "x"}}
	selects := &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: "y"}, Spec: v1alpha1.VaultPolicySpec{
		Subjects: []v1alpha1.PolicySubject{{}, {Kind: v1alpha1.SubjectServiceAccounts}}}}
	cached := fake.NewClientBuilder().WithScheme(scheme).WithObjects(bare.DeepCopy(), selects.DeepCopy()).Build()
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	defer q.ShutDown()
	for _, c := range []struct {
		name string
		handler.EventHandler
		object client.Object
	}{
		{"VaultPolicy", objects(), bare},
		{"Namespace", selecting(cached), &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "n"}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.Create(t.Context(), event.CreateEvent{Object: c.object}, q)
			c.Create(t.Context(), event.CreateEvent{Object: c.object, IsInInitialList: true}, q)
			c.Update(t.Context(), event.UpdateEvent{ObjectOld: c.object, ObjectNew: c.object}, q)
			c.Delete(t.Context(), event.DeleteEvent{Object: c.object}, q)
			c.Delete(t.Context(), event.DeleteEvent{Object: c.object, DeleteStateUnknown: true}, q)
			c.Generic(t.Context(), event.GenericEvent{Object: c.object}, q)
		})
	}
	if q.Len() != 2 {
		t.Fatalf("%d objects are queued, want two", q.Len())
	}
	for _, want := range []string{"x", "y"} {
		if got, _ := q.Get(); got != request(want) {
			t.Errorf("queued %v, want %s", got, want)
		}
	}
	if rules(&bare.Spec) != nil || conditions(nil) != nil || misleading(&bare.Spec) {
		t.Error("an empty spec says something")
	}
	if got, err := bindings(&selects.Spec, "home", func(v1alpha1.PolicySubject) ([]string, error) { return nil, nil }, now); len(got) != 0 || err != nil {
		t.Errorf("subjects without a selector bind %v, %v", got, err)
	}
}

// A sweep must not take the policy of an object that was made while it looked: what lives is asked for after the
// vault, and not of a cache.
func TestSweepSparesWhatWasJustMade(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	live := fake.NewClientBuilder().WithScheme(scheme).Build()
	fresh := &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: "fresh", UID: "u1"}}
	var deleted []string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodDelete {
			deleted = append(deleted, path.Base(r.URL.Path))
			w.WriteHeader(http.StatusNoContent)
			return
		}
		if err := live.Create(r.Context(), fresh); err != nil { // made after the sweep began, and its policy too
			t.Error(err)
		}
		_ = json.NewEncoder(w).Encode(vaultapi.PolicyList{Policies: []vaultapi.Policy{
			{ID: "pol_fresh", Owner: ownerOf("home", "fresh", "u1")},
			{ID: "pol_gone", Owner: ownerOf("home", "fresh", "u0")},
			{ID: "pol_edge", Owner: ownerOf("home2", "fresh", "u0")},
		}})
	}))
	defer srv.Close()
	v, err := vault.New(vault.Options{BaseURL: srv.URL, Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	cached := fake.NewClientBuilder().WithScheme(scheme).Build() // knows nothing yet
	s := &Sink{Cached: cached, Live: live, Vault: v.Policies, Guard: passing{}, Cluster: "home"}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(deleted, []string{"pol_gone"}) {
		t.Errorf("removed %v", deleted)
	}
}

// passing is a guard that finds the pinned vault.
type passing struct{}

func (passing) Check(context.Context) error { return nil }
