package vaultsecret

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
)

// Reader is the vault as somebody sees it.
type Reader interface {
	session
	lister
}

// Through is the vault as the token of a client sees it.
func Through(secrets *client.Secrets) Reader { return vault.NewSession("the caller", secrets) }

// Preview gives the keys and values that the operator would write for obj if its ServiceAccount saw the vault
// as the reader does. It is the operator's own reading, rendering and checking; it writes nothing, and what the
// target holds already plays no part. Which further types and namespaces an install allows or forbids it cannot
// know, and takes as allowed. Reason tells what the Ready condition would say of an error.
func Preview(ctx context.Context, obj *v1alpha1.VaultSecret, as Reader, now func() time.Time) (map[string][]byte, error) {
	s := &run{Reconciler: &Reconciler{Now: now}, obj: *obj, identity: "the caller"}
	s.obj.Status = v1alpha1.VaultSecretStatus{}
	if t := obj.Spec.Target; t != nil {
		s.Rules.ExtraTypes = []string{t.Type}
	}
	for _, step := range []func() error{
		s.possible,
		func() error { return s.resolve(ctx, as) },
		func() error { return s.readRest(ctx, as) },
		s.judgeBelow,
		s.complete,
	} {
		if err := step(); err != nil {
			return nil, err
		}
	}
	data, err := render(&s.obj.Spec, s.values(), now)
	if err != nil {
		return nil, err
	}
	return data, target.Content(desired(&s.obj, data))
}

// complete refuses a rendering that lacks a source.
func (s *run) complete() error {
	if where, _ := s.missingSources(); len(where) > 0 {
		return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck, noSecret(where))
	}
	return nil
}

// Reason is the reason that Ready would show for an error, "" for one that the operator would just retry.
func Reason(err error) string { return reconcile.ReasonOf(err) }

// Foresight is what a write would do to the keys of an existing Secret.
type Foresight = target.Foresight

// Foresee tells what the operator would do to a Secret as it stands if it had to write data for obj. The error is
// why it would write nothing; it is found by the Secret's metadata alone, if that is all that is given.
func Foresee(obj *v1alpha1.VaultSecret, data map[string][]byte, secret *corev1.Secret) (Foresight, error) {
	return target.Foresee(desired(obj, data), secret)
}
