package vaultsecret

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/vault"
)

// Mistake 50: a field that was left out made an informer's handler panic, and the events that followed were lost.
// What every handler does with objects that hold nothing but a name.
func TestMistake50BareObjects(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	meta := metav1.ObjectMeta{Namespace: "ns", Name: "x"}
	bare := &v1alpha1.VaultSecret{ObjectMeta: meta}
	cached := fake.NewClientBuilder().WithScheme(scheme).WithObjects(bare.DeepCopy()).WithIndex(bare, indexPath, byPath).
		WithIndex(bare, indexAccount, byAccount).WithIndex(bare, indexTarget, byTarget).Build()
	w := &watches{cached: cached, Reconciler: &Reconciler{
		Writer: &target.Writer{Memory: target.NewMemory()}, Absences: vault.NewAbsences(),
		Accounts: vault.NewAccounts(nil, vault.Minter{}, cached, nil), Now: func() time.Time { return time.Unix(0, 0) },
	}}
	q := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[ctrl.Request]())
	defer q.ShutDown()
	secret := &metav1.PartialObjectMetadata{ObjectMeta: meta}
	secret.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Secret"))
	account := &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "default"}}
	for _, c := range []struct {
		name string
		handler.EventHandler
		object client.Object
	}{{"VaultSecret", w.objects(), bare}, {"Secret", w.targets(), secret}, {"ServiceAccount", w.accounts(), account}} {
		t.Run(c.name, func(t *testing.T) {
			c.Create(t.Context(), event.CreateEvent{Object: c.object}, q)
			c.Create(t.Context(), event.CreateEvent{Object: c.object, IsInInitialList: true}, q)
			c.Update(t.Context(), event.UpdateEvent{ObjectOld: c.object, ObjectNew: c.object}, q)
			c.Delete(t.Context(), event.DeleteEvent{Object: c.object}, q)
			c.Delete(t.Context(), event.DeleteEvent{Object: c.object, DeleteStateUnknown: true}, q)
			c.Generic(t.Context(), event.GenericEvent{Object: c.object}, q)
		})
	}
	if q.Len() != 1 {
		t.Fatalf("%d objects are queued, want one", q.Len())
	}
	if got, _ := q.Get(); got != request(bare) {
		t.Errorf("queued %v", got)
	}
}
