package vaultpolicy

import (
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
