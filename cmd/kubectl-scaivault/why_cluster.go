package main

import (
	"context"
	"strings"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
)

// account looks at the ServiceAccount.
func (w *walk) account(ctx context.Context) {
	name := w.obj.ServiceAccount()
	err := w.cluster.metadata(ctx, "ServiceAccount", w.obj.Namespace, name, &metav1.PartialObjectMetadata{})
	switch {
	case err == nil:
		w.note(linkAccount, resultOK, "", "ServiceAccount %s exists", name)
	case apierrors.IsNotFound(err):
		w.note(linkAccount, resultBlocks, secretSteps(w.obj)[v1alpha1.ReasonServiceAccountMissing], "ServiceAccount %s does not exist", name)
	default:
		w.unseen("ServiceAccount %s: %s", name, refusal(err))
	}
}

// target looks at the Secret's metadata; nothing of its content is asked for.
func (w *walk) target(ctx context.Context) {
	name := w.obj.TargetName()
	m := &metav1.PartialObjectMetadata{}
	err := w.cluster.metadata(ctx, "Secret", w.obj.Namespace, name, m)
	switch {
	case apierrors.IsNotFound(err):
		w.note(linkTarget, resultOK, "", "Secret %s does not exist yet", name)
		return
	case err != nil:
		w.unseen("Secret %s: %s", name, refusal(err))
		return
	case m.DeletionTimestamp != nil:
		w.note(linkTarget, resultBlocks, "remove the finalizers that keep it: "+strings.Join(m.Finalizers, ", "), "Secret %s is being deleted", name)
		return
	}
	if _, err := vaultsecret.Foresee(w.obj, nil, &corev1.Secret{ObjectMeta: m.ObjectMeta}); err != nil {
		w.note(linkTarget, resultBlocks, conflictStep(w.obj), "%s", err)
		return
	}
	if w.obj.Shared() { // whose each key is, the operator tells in status.conflicts
		w.note(linkTarget, resultUnknown, "", "Secret %s has room for keys of others", name)
		return
	}
	w.note(linkTarget, resultOK, "", "Secret %s may be written", name)
}

func (c *cluster) metadata(ctx context.Context, kind, namespace, name string, into *metav1.PartialObjectMetadata) error {
	into.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind(kind))
	return c.Get(ctx, client.ObjectKey{Namespace: namespace, Name: name}, into)
}

// refusal is why the cluster did not show something, in few words.
func refusal(err error) string {
	if apierrors.IsForbidden(err) {
		return "you may not see it"
	}
	return err.Error()
}
