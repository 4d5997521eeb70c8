package vaultsecret

import (
	"context"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	batchLimit = 100 // paths per call, by contract

	// policyCalm is how long the check of objects that are well is put off after a policy change, so that
	// a rollout of many policies causes one.
	policyCalm = 5 * time.Second
)

// metadataReader reads etags as the operator; *client.Secrets fits.
type metadataReader interface {
	BatchMetadata(context.Context, vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error)
}

// Sink turns what the event feed sees into queue entries.
type Sink struct {
	Cached client.Reader
	Vault  metadataReader
	Writer *target.Writer
	Inbox  *reconcile.Inbox
}

// Secret queues the objects that read a path.
func (s *Sink) Secret(ctx context.Context, path string) {
	objs, err := list(ctx, s.Cached, client.MatchingFields{indexPath: path})
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

// Everything compares all objects with the vault by etags, a hundred paths a call, and queues those that
// differ; the others get their next refresh.
func (s *Sink) Everything(ctx context.Context) error {
	objs, err := list(ctx, s.Cached)
	if err != nil {
		return err
	}
	current, err := s.etags(ctx, objs)
	if err != nil {
		return err
	}
	for i := range objs {
		obj := &objs[i]
		switch {
		case !finished(obj), !synced(obj, current), !s.undisturbed(ctx, obj):
			s.Inbox.Add(ctx, priority(obj), 0, request(obj))
		default:
			s.Inbox.Add(ctx, reconcile.RefreshPriority, wait.Jitter(refresh(obj), 0.1), request(obj))
		}
	}
	return nil
}

// etags asks for the newest etag of every path that a finished object reads.
func (s *Sink) etags(ctx context.Context, objs []v1alpha1.VaultSecret) (map[string]string, error) {
	var paths []string
	for i := range objs {
		if finished(&objs[i]) {
			paths = append(paths, byPath(&objs[i])...)
		}
	}
	slices.Sort(paths)
	current := map[string]string{}
	for chunk := range slices.Chunk(slices.Compact(paths), batchLimit) {
		got, err := s.Vault.BatchMetadata(ctx, vaultapi.BatchRequest{Paths: chunk})
		if err != nil {
			return nil, vault.Explain(err, "compare with the vault")
		}
		for path, info := range got.Secrets {
			current[path] = info.Etag
		}
	}
	return current, nil
}

// synced tells whether the target holds the newest version of every source. A pinned version does not
// change; whether it still exists is for the next refresh.
func synced(obj *v1alpha1.VaultSecret, current map[string]string) bool {
	for i, src := range obj.Spec.Sources {
		y := obj.Status.Synced[i]
		if y.Source != src.Name || y.Path != string(src.Path) || src.Version == nil && y.ETag != current[y.Path] {
			return false
		}
	}
	return true
}

func (s *Sink) undisturbed(ctx context.Context, obj *v1alpha1.VaultSecret) bool {
	well, err := s.Writer.Settled(ctx, ownerOf(obj), recorded(obj.Status.Target))
	return err == nil && well
}

var _ vault.Sink = (*Sink)(nil)
