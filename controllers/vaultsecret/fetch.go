package vaultsecret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	// conditionalLimit is up to how many secrets are asked one by one whether they changed; a longer list is
	// read in few calls.
	conditionalLimit = 8

	// volumeLimit bounds the values that one object makes the operator hold, however little of them it uses.
	volumeLimit = 16 << 20
)

// value is one secret as the vault gave it.
type value struct {
	name    string // what keys and templates call it
	path    string
	version int64
	etag    string
	expires *vaultapi.Time
	fields  map[string]json.RawMessage
}

// fetch reads the sources as the object's ServiceAccount. Afterwards either same is true, or every secret that
// exists and is needed is there with its value.
func (s *run) fetch(ctx context.Context) error {
	as, err := s.Accounts.Session(ctx, s.obj.Namespace, s.obj.ServiceAccount())
	if err != nil {
		return err
	}
	s.identity = as.Identity
	if err := s.resolve(ctx, as); err != nil {
		return err
	}
	if err := s.ask(ctx, as); err != nil {
		return err
	}
	if s.same = s.agrees(); s.same {
		return nil
	}
	if err := s.readRest(ctx, as); err != nil {
		return err
	}
	if err := s.judgeMissing(ctx); err != nil {
		return err
	}
	s.same = s.agrees()
	return nil
}

// ask reads each secret unless it still has its etag, where that is worth while.
func (s *run) ask(ctx context.Context, as session) error {
	if !s.settled || s.obj.Status.SyncedDigest == "" || len(s.wanted) > conditionalLimit {
		return nil
	}
	for i := range s.wanted {
		if err := s.readOne(ctx, as, &s.wanted[i], s.wanted[i].etag); err != nil {
			return err
		}
	}
	return nil
}

// readOne reads one secret. With an etag, one that still has it counts as unchanged and is not sent.
func (s *run) readOne(ctx context.Context, as session, w *wanted, etag string) error {
	got, err := as.Read(ctx, w.path, client.ReadOptions{Version: w.version(), IfNoneMatch: etag})
	switch {
	case errors.Is(err, client.ErrNotModified):
		w.outcome = unchanged
		return s.inSight(w)
	case err != nil:
		return s.failed(w, err, vaultapi.Code(err), vaultapi.IsForbidden(err))
	}
	return s.take(w, value{version: got.Version, etag: got.Etag, expires: got.ExpiresAt}, got.Data)
}

// readRest reads the values that are not there yet: a rendering needs those of unchanged secrets as well.
func (s *run) readRest(ctx context.Context, as session) error {
	var together []*wanted
	for i := range s.wanted {
		w := &s.wanted[i]
		switch {
		case w.outcome != unasked && w.outcome != unchanged:
		case w.src.Version == nil && len(s.wanted) > 1:
			together = append(together, w)
		default:
			if err := s.readOne(ctx, as, w, ""); err != nil {
				return err
			}
		}
	}
	for chunk := range slices.Chunk(together, batchLimit) {
		if err := s.readTogether(ctx, as, chunk); err != nil {
			return err
		}
		if n := s.volume(); n > volumeLimit {
			return reconcile.Stalled(v1alpha1.ReasonTooManySecrets, fmt.Errorf(
				"the secrets that are read hold more than %d MiB, of which a Secret holds at most 1 MiB; use longer prefixes", volumeLimit>>20))
		}
	}
	return nil
}

// volume is the size of all values read so far, in bytes.
func (s *run) volume() int {
	n := 0
	for i := range s.wanted {
		for _, raw := range s.wanted[i].value.fields {
			n += len(raw)
		}
	}
	return n
}

func (s *run) readTogether(ctx context.Context, as session, all []*wanted) error {
	var paths []string
	for _, w := range all {
		paths = append(paths, w.path)
	}
	slices.Sort(paths)
	got, err := as.BatchRead(ctx, vaultapi.BatchRequest{Paths: slices.Compact(paths)})
	if err != nil {
		return s.explain(err, all[0].path)
	}
	for _, w := range all {
		if err := s.takeFrom(got, w); err != nil {
			return err
		}
	}
	return nil
}

func (s *run) takeFrom(got *vaultapi.BatchResponse, w *wanted) error {
	if secret, ok := got.Secrets[w.path]; ok {
		return s.take(w, value{version: secret.Version, etag: secret.Etag, expires: secret.ExpiresAt}, secret.Data)
	}
	bad, ok := got.Errors[w.path]
	if !ok {
		return vault.Explain(errNothing, "read "+w.path)
	}
	return s.failed(w, &vaultapi.Error{Code: bad.Code, Message: bad.Message}, bad.Code, vault.IsDeniedCode(bad.Code))
}

func (s *run) take(w *wanted, got value, data vaultapi.Values) error {
	var err error
	if got.fields, err = data.Fields(); err != nil {
		return vault.Explain(err, "read "+w.path)
	}
	got.name, got.path = nameOf(w.src, w.path), w.path
	w.outcome, w.value = found, got
	return s.inSight(w)
}

// inSight refuses a secret below a prefix that the ServiceAccount may still read, but list no more.
func (s *run) inSight(w *wanted) error {
	if w.below() && !w.listed {
		return vault.Hidden(s.identity, w.path)
	}
	return nil
}

// failed judges a secret that the vault did not give. Below a prefix, one that may be listed and not read is
// left out; but what the target holds is not taken away because a right was lost.
func (s *run) failed(w *wanted, err error, code string, denied bool) error {
	switch {
	case vault.IsMissingCode(code):
		w.outcome = missing
	case denied && w.below() && !w.held:
		w.outcome = refused
	case denied:
		return vault.Denied(s.identity, w.path, code)
	default:
		return vault.Explain(err, "read "+w.path)
	}
	return nil
}

func (s *run) explain(err error, path string) error {
	if vaultapi.IsForbidden(err) {
		return vault.Denied(s.identity, path, vaultapi.Code(err))
	}
	return vault.Explain(err, "read "+path)
}

// values are the secrets by source, those below a prefix in the order of their paths.
func (s *run) values() map[string][]value {
	all := map[string][]value{}
	for i := range s.wanted {
		if w := &s.wanted[i]; w.outcome == found {
			all[w.src.Name] = append(all[w.src.Name], w.value)
		}
	}
	return all
}
