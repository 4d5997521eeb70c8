package vaultsecret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// conditionalLimit is up to how many sources are asked one by one whether they changed; a longer list is
// read in one call.
const conditionalLimit = 8

// missingRecheck is how often a missing source is looked for; an event says sooner when it appears.
const missingRecheck = time.Minute

// value is one source as the vault gave it.
type value struct {
	path    string
	version int64
	etag    string
	fields  map[string]json.RawMessage
}

// fetch reads the sources as the object's ServiceAccount. Afterwards either same is true, or values
// holds every source that exists and is needed.
func (s *run) fetch(ctx context.Context) error {
	as, err := s.Accounts.Session(ctx, s.obj.Namespace, s.obj.ServiceAccount())
	if err != nil {
		return err
	}
	s.identity = as.Identity
	if err := s.read(ctx, as); err != nil {
		return err
	}
	return s.judgeMissing(ctx)
}

func (s *run) read(ctx context.Context, as session) error {
	s.values = map[string]value{}
	rest := s.obj.Spec.Sources
	if known := s.etags(); known != nil {
		changed, unchanged, err := s.ask(ctx, as, known)
		if err != nil {
			return err
		}
		if s.same = !changed; s.same {
			return nil
		}
		rest = unchanged // a rendering needs them as well
	}
	return s.readAll(ctx, as, rest)
}

// etags returns the etag of every source, nil unless all are known and worth asking about.
func (s *run) etags() map[string]string {
	sources := s.obj.Spec.Sources
	if !s.settled || len(sources) > conditionalLimit || len(s.obj.Status.Synced) != len(sources) {
		return nil
	}
	known := map[string]string{}
	for _, y := range s.obj.Status.Synced {
		known[y.Source] = y.ETag
	}
	return known
}

// ask reads each source unless it still has its etag.
func (s *run) ask(ctx context.Context, as session, known map[string]string) (changed bool, unchanged []v1alpha1.Source, err error) {
	for _, src := range s.obj.Spec.Sources {
		got, err := as.Read(ctx, string(src.Path), client.ReadOptions{Version: pinned(src), IfNoneMatch: known[src.Name]})
		switch {
		case errors.Is(err, client.ErrNotModified):
			unchanged = append(unchanged, src)
			continue
		case vault.IsMissing(err):
			changed = changed || known[src.Name] != ""
			continue
		case err != nil:
			return false, nil, s.explain(err, src)
		}
		changed = true
		if err := s.take(src, got.Version, got.Etag, got.Data); err != nil {
			return false, nil, err
		}
	}
	return changed, unchanged, nil
}

// readAll reads sources with their values: in one call where it can.
func (s *run) readAll(ctx context.Context, as session, sources []v1alpha1.Source) error {
	var together []v1alpha1.Source
	for _, src := range sources {
		if src.Version == nil && len(sources) > 1 {
			together = append(together, src)
			continue
		}
		got, err := as.Read(ctx, string(src.Path), client.ReadOptions{Version: pinned(src)})
		if vault.IsMissing(err) {
			continue
		}
		if err != nil {
			return s.explain(err, src)
		}
		if err := s.take(src, got.Version, got.Etag, got.Data); err != nil {
			return err
		}
	}
	return s.readTogether(ctx, as, together)
}

func (s *run) readTogether(ctx context.Context, as session, sources []v1alpha1.Source) error {
	if len(sources) == 0 {
		return nil
	}
	var paths []string
	for _, src := range sources {
		paths = append(paths, string(src.Path))
	}
	slices.Sort(paths)
	got, err := as.BatchRead(ctx, vaultapi.BatchRequest{Paths: slices.Compact(paths)})
	if err != nil {
		return s.explain(err, sources[0])
	}
	for _, src := range sources {
		if err := s.takeFrom(got, src); err != nil {
			return err
		}
	}
	return nil
}

func (s *run) takeFrom(got *vaultapi.BatchResponse, src v1alpha1.Source) error {
	path := string(src.Path)
	if secret, ok := got.Secrets[path]; ok {
		return s.take(src, secret.Version, secret.Etag, secret.Data)
	}
	failed, ok := got.Errors[path]
	switch {
	case !ok:
		return vault.Explain(errNothing, "read "+path)
	case vault.IsMissingCode(failed.Code):
		return nil
	case vault.IsDeniedCode(failed.Code):
		return vault.Denied(s.identity, path, failed.Code)
	}
	return vault.Explain(&vaultapi.Error{Code: failed.Code, Message: failed.Message}, "read "+path)
}

func (s *run) take(src v1alpha1.Source, version int64, etag string, data vaultapi.Values) error {
	fields, err := data.Fields()
	if err != nil {
		return vault.Explain(err, "read "+string(src.Path))
	}
	s.values[src.Name] = value{path: string(src.Path), version: version, etag: etag, fields: fields}
	return nil
}

func (s *run) explain(err error, src v1alpha1.Source) error {
	if vaultapi.IsForbidden(err) {
		return vault.Denied(s.identity, string(src.Path), vaultapi.Code(err))
	}
	return vault.Explain(err, "read "+string(src.Path))
}

func pinned(src v1alpha1.Source) int64 {
	if src.Version == nil {
		return 0
	}
	return *src.Version
}

// judgeMissing decides what a missing source means: nothing where every key from it is optional, else
// waiting, and removal of the target where the object asks for that and the absence is certain.
func (s *run) judgeMissing(ctx context.Context) error {
	if s.same {
		return nil
	}
	var missing []string
	for _, src := range s.obj.Spec.Sources {
		if _, found := s.values[src.Name]; !found && needed(&s.obj.Spec, src.Name) {
			missing = append(missing, string(src.Path))
		}
	}
	if len(missing) == 0 {
		s.Absences.Present(s.obj.UID)
		return nil
	}
	cause := fmt.Errorf("the vault has no secret at %s", missing[0])
	if n := len(missing); n > 1 {
		cause = fmt.Errorf("%w, nor at %d other paths", cause, n-1)
	}
	certain := s.Absences.Missing(s.obj.UID, missing, s.Now())
	if s.obj.Spec.WhenSourceMissing != v1alpha1.DeleteWhenMissing || s.obj.Status.Target == nil {
		return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck, fmt.Errorf("%w; Secret %s is left as it is", cause, s.obj.TargetName()))
	}
	if !certain {
		return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck/2, fmt.Errorf("%w; Secret %s is deleted if a second look agrees", cause, s.obj.TargetName()))
	}
	return s.removeTarget(ctx, cause)
}

// removeTarget deletes the target because its source is gone for certain, in the pinned vault.
func (s *run) removeTarget(ctx context.Context, cause error) error {
	if err := s.Guard.CheckNow(ctx); err != nil {
		return err
	}
	if err := s.Writer.Release(ctx, s.owner(), s.obj.Status.Target.Name, false); err != nil {
		return err
	}
	name := s.obj.Status.Target.Name
	s.obj.Status.Target, s.obj.Status.Binding, s.obj.Status.Synced, s.obj.Status.SyncedCount = nil, nil, nil, 0
	return reconcile.Waiting(v1alpha1.ReasonSecretMissing, missingRecheck, fmt.Errorf("%w; Secret %s was deleted", cause, name))
}
