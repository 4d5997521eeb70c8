package vaultsecret

import (
	"context"
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// notAllowed is what a user is told who asks for more than the install gives.
const notAllowed = "refreshPods is Immediate, which this install does not allow (operator flag --refresh-pods, chart value operator.refreshPods): files in running pods follow at their kubelet's next sync, within about a minute"

// refreshPods makes the kubelets look at what was written, where the object asks for that and the install allows it.
// The files of an immutable Secret never change in a running pod.
func (s *run) refreshPods(context.Context) error {
	if s.obj.Spec.RefreshPods != v1alpha1.RefreshImmediately {
		return nil
	}
	if s.Refresher == nil {
		if c := meta.FindStatusCondition(s.obj.Status.Conditions, v1alpha1.ConditionReady); c == nil || !strings.Contains(c.Message, notAllowed) {
			s.Runner.Events.Eventf(&s.obj, nil, corev1.EventTypeWarning, "RefreshNotAllowed", "Refresh", "%s", notAllowed)
		}
		return nil
	}
	if s.wrote && !immutable(&s.obj) {
		s.Refresher.Refresh(s.obj.Namespace, s.obj.TargetName())
	}
	return nil
}

// done is what Ready says after all steps: the Secret is in order, and what of the way to the pods is not.
func (s *run) done() (reason, message string) {
	message = fmt.Sprintf("Secret %s holds what the vault holds", s.obj.TargetName())
	if s.obj.Spec.RefreshPods == v1alpha1.RefreshImmediately && s.Refresher == nil {
		message += "; " + notAllowed
	}
	if st := s.obj.Status.Restart; st != nil && len(st.Missing) > 0 {
		first := st.Missing[0]
		message += fmt.Sprintf("; %d of spec.restart.workloads do not exist in this namespace, the first is %s %s", len(st.Missing), first.Kind, first.Name)
	}
	return v1alpha1.ReasonSynced, message
}
