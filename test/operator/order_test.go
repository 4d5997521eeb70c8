package operator_test

import (
	"context"
	"fmt"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

type runtimeObject = runtime.Object

// inOrder waits until every object of the cluster is as kstatus, kubectl wait, Flux and Argo CD understand it.
func (w *world) inOrder(ctx context.Context) {
	w.T.Helper()
	w.until("conditions of all objects", "", func() string {
		var wrong []string
		for _, o := range w.objects(ctx) {
			if v, ok := o.(*v1alpha1.VaultSecret); ok && v.Spec.Suspend {
				continue // nobody looks at it
			}
			for _, p := range disorder(o) {
				wrong = append(wrong, fmt.Sprintf("%T %s/%s: %s", o, o.GetNamespace(), o.GetName(), p))
			}
		}
		return strings.Join(wrong, "\n")
	})
}

func (w *world) objects(ctx context.Context) []statusObject {
	w.T.Helper()
	var out []statusObject
	secrets, policies, rotations := &v1alpha1.VaultSecretList{}, &v1alpha1.VaultPolicyList{}, &v1alpha1.RotationScheduleList{}
	issuers, wide := &v1alpha1.PKIIssuerList{}, &v1alpha1.ClusterPKIIssuerList{}
	for _, l := range []kube.ObjectList{secrets, policies, rotations, issuers, wide} {
		if err := w.kube.List(ctx, l); err != nil && !apierrors.IsNotFound(err) {
			w.Fatal(err)
		}
	}
	for i := range secrets.Items {
		out = append(out, &secrets.Items[i])
	}
	for i := range policies.Items {
		out = append(out, &policies.Items[i])
	}
	for i := range rotations.Items {
		out = append(out, &rotations.Items[i])
	}
	for i := range issuers.Items {
		out = append(out, &issuers.Items[i])
	}
	for i := range wide.Items {
		out = append(out, &wide.Items[i])
	}
	return out
}

// disorder says what is wrong with the conditions of an object that is at rest.
func disorder(o statusObject) (wrong []string) {
	if o.GetDeletionTimestamp() != nil {
		return nil
	}
	st := o.ObjectStatus()
	if st.ObservedGeneration != o.GetGeneration() {
		wrong = append(wrong, fmt.Sprintf("generation %d is observed, %d is there", st.ObservedGeneration, o.GetGeneration()))
	}
	known := []string{v1alpha1.ConditionReady, v1alpha1.ConditionReconciling, v1alpha1.ConditionStalled}
	for _, c := range st.Conditions {
		if c.ObservedGeneration != o.GetGeneration() {
			wrong = append(wrong, fmt.Sprintf("%s is of generation %d", c.Type, c.ObservedGeneration))
		}
		if !slices.Contains(known, c.Type) || c.Reason == "" || c.Message == "" || c.LastTransitionTime.IsZero() {
			wrong = append(wrong, fmt.Sprintf("condition %+v", c))
		}
		if c.Type != v1alpha1.ConditionReady && c.Status != metav1.ConditionTrue {
			wrong = append(wrong, c.Type+" is there without being true")
		}
		if c.Type == v1alpha1.ConditionStalled && !strings.Contains(c.Message, "; ") {
			wrong = append(wrong, fmt.Sprintf("a person has to act, and nothing says how: %s", c.Message))
		}
	}
	if p := combination(o); p != "" {
		wrong = append(wrong, p)
	}
	if a := o.GetAnnotations()[v1alpha1.AnnotationRequestedAt]; a != st.LastHandledRequest {
		wrong = append(wrong, fmt.Sprintf("request %q is not echoed: %q", a, st.LastHandledRequest))
	}
	return wrong
}

// combination: an object at rest is Ready, or it says by exactly one other condition, with Ready's reason, whether
// the operator goes on by itself or somebody has to act.
func combination(o statusObject) string {
	rd := condition(o, v1alpha1.ConditionReady)
	rc := condition(o, v1alpha1.ConditionReconciling)
	st := condition(o, v1alpha1.ConditionStalled)
	switch {
	case rd.Status == metav1.ConditionTrue && rc.Type == "" && st.Type == "":
		return ""
	case rd.Status == metav1.ConditionFalse && (rc.Type == "") != (st.Type == "") && rc.Reason+st.Reason == rd.Reason:
		return ""
	}
	return fmt.Sprintf("Ready %s/%s with Reconciling %s/%s and Stalled %s/%s", rd.Status, rd.Reason, rc.Status, rc.Reason, st.Status, st.Reason)
}
