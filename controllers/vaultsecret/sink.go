package vaultsecret

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/vault"
)

// policyCalm is how long the check of objects that are well is put off after a policy change, so that
// a rollout of many policies causes one.
const policyCalm = 5 * time.Second

// Sink turns what the event feed sees into queue entries.
type Sink struct {
	Cached client.Reader
	Vault  metadataReader
	Writer *target.Writer
	Inbox  *reconcile.Inbox
	Now    func() time.Time
}

// Secret queues the objects that read a path, by itself or by a prefix.
func (s *Sink) Secret(ctx context.Context, path string) {
	objs, err := (&Readers{Cached: s.Cached}).Of(ctx, path)
	if err != nil {
		return // the cache ends with the process
	}
	for i := range objs {
		s.Inbox.Add(ctx, priority(&objs[i]), 0, request(&objs[i]))
	}
}

// Policies queues every object that is not well at once, because a policy may be what it waits for, and
// the others later, because one may have been taken from them.
func (s *Sink) Policies(ctx context.Context, _ []string) {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return
	}
	for i := range objs {
		if reconcile.Applied(&objs[i]) {
			s.Inbox.Add(ctx, reconcile.RefreshPriority, wait.Jitter(policyCalm, 1), request(&objs[i]))
		} else {
			s.Inbox.Add(ctx, priority(&objs[i]), 0, request(&objs[i]))
		}
	}
}

// Replaced queues everything, so that it says so.
func (s *Sink) Replaced(ctx context.Context) {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return
	}
	for i := range objs {
		s.Inbox.Add(ctx, reconcile.RefreshPriority, 0, request(&objs[i]))
	}
}

// Everything compares all objects with the vault by etags and queues those that differ; the others get their
// next refresh.
func (s *Sink) Everything(ctx context.Context) error {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return err
	}
	stock, err := s.takeStock(ctx, objs)
	if err != nil {
		return err
	}
	for i := range objs {
		obj := &objs[i]
		switch {
		case !finished(obj), !synced(obj, stock), !s.undisturbed(ctx, obj):
			s.Inbox.Add(ctx, priority(obj), 0, request(obj))
		default:
			s.Inbox.Add(ctx, reconcile.RefreshPriority, reconcile.Later(refresh(obj), expiry(obj, s.Now()), s.Now()), request(obj))
		}
	}
	return nil
}

func (s *Sink) undisturbed(ctx context.Context, obj *v1alpha1.VaultSecret) bool {
	well, err := s.Writer.Settled(ctx, desired(obj, nil), recorded(obj.Status.Target))
	return err == nil && well
}

var _ vault.Sink = (*Sink)(nil)
