package vaultsecret

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// prefixLimit is how many secrets all prefixes of one object may cover: their keys share one Secret of 1 MiB,
// and every change below a prefix reads all of them.
const prefixLimit = 500

// outcome is what the vault said of a secret.
type outcome int

const (
	unasked   outcome = iota
	unchanged         // it has the etag that the target holds
	found             // value is there
	missing
	refused // the ServiceAccount sees it below a prefix and may not read it
)

// wanted is one secret that the object reads.
type wanted struct {
	src    *v1alpha1.Source
	path   string
	held   bool   // the target holds it
	etag   string // as the target holds it, "" if not known
	listed bool   // the ServiceAccount sees it below the source's prefix

	outcome outcome
	value   value
}

// below tells whether the secret is read because of a prefix.
func (w *wanted) below() bool { return w.src.PathPrefix != "" }

// version is the pinned one, 0 for the newest.
func (w *wanted) version() int64 {
	if w.src.Version == nil {
		return 0
	}
	return *w.src.Version
}

// nameOf is what keys and templates call a secret of a source. No segment of a path holds a dot, so no two
// secrets below one prefix have one name.
func nameOf(src *v1alpha1.Source, at string) string {
	if src.PathPrefix == "" {
		return path.Base(at)
	}
	return strings.ReplaceAll(strings.TrimPrefix(at, string(src.PathPrefix)), "/", ".")
}

// lister lists as one identity; *vault.Session fits.
type lister interface {
	Below(ctx context.Context, prefix string, limit int) ([]string, error)
	MayList(ctx context.Context, prefix string) error
}

// resolve finds the secrets that the sources stand for.
func (s *run) resolve(ctx context.Context, as lister) error {
	held, room := s.held(), prefixLimit
	for i := range s.obj.Spec.Sources {
		src := &s.obj.Spec.Sources[i]
		if src.PathPrefix == "" {
			etag, known := held[src.Name][string(src.Path)]
			s.wanted = append(s.wanted, wanted{src: src, path: string(src.Path), held: known, etag: etag})
			continue
		}
		below, err := s.resolvePrefix(ctx, as, src, held[src.Name], room)
		if err != nil {
			return err
		}
		room -= len(below)
		s.wanted = append(s.wanted, below...)
	}
	return nil
}

// held is what the target holds: etags by source and path. Those of secrets for which the status has no room
// are empty, and after a restart they are not in it.
func (s *run) held() map[string]map[string]string {
	held := map[string]map[string]string{}
	put := func(y v1alpha1.SyncedSource, etag string) {
		if held[y.Source] == nil {
			held[y.Source] = map[string]string{}
		}
		held[y.Source][y.Path] = etag
	}
	if more, ok := s.beyond.Load(s.obj.UID); ok && len(s.obj.Status.Synced) > 0 {
		for _, y := range more.([]v1alpha1.SyncedSource) {
			put(y, y.ETag)
		}
	}
	for _, y := range s.obj.Status.Synced {
		put(y, y.ETag)
	}
	return held
}

// resolvePrefix lists the secrets below a prefix. One that the target holds and the list does not show is
// wanted still, unless an event said that it was deleted: it may only be out of sight.
func (s *run) resolvePrefix(ctx context.Context, as lister, src *v1alpha1.Source, held map[string]string, room int) ([]wanted, error) {
	prefix := string(src.PathPrefix)
	paths, err := as.Below(ctx, prefix, room)
	if err != nil {
		return nil, s.explainList(err, prefix)
	}
	if len(paths) > room {
		return nil, reconcile.Stalled(v1alpha1.ReasonTooManySecrets, fmt.Errorf(
			"source %s: too many secrets below %s: all pathPrefix sources of an object together cover at most %d; use longer prefixes, or several VaultSecrets that write one Secret with target.mode Shared",
			src.Name, prefix, prefixLimit))
	}
	var out []wanted
	for _, p := range paths {
		etag, known := held[p]
		out = append(out, wanted{src: src, path: p, held: known, etag: etag, listed: true})
	}
	hidden := 0
	for _, p := range slices.Sorted(maps.Keys(held)) {
		if !strings.HasPrefix(p, prefix) || slices.Contains(paths, p) {
			continue
		}
		if hidden++; !s.Absences.Deleted(p) {
			out = append(out, wanted{src: src, path: p, held: true, etag: held[p]})
		}
	}
	if len(paths)+hidden == 0 {
		return nil, s.explainList(as.MayList(ctx, prefix), prefix)
	}
	slices.SortFunc(out, func(a, b wanted) int { return strings.Compare(a.path, b.path) })
	return out, nil
}

func (s *run) explainList(err error, prefix string) error {
	if vaultapi.IsForbidden(err) {
		return vault.DeniedBelow(s.identity, prefix, vaultapi.Code(err))
	}
	return vault.Explain(err, "list "+prefix)
}

// state lists what the target holds after this run: of which secret which version.
func (s *run) state() []v1alpha1.SyncedSource {
	var all []v1alpha1.SyncedSource
	for i := range s.wanted {
		switch w := &s.wanted[i]; {
		case w.outcome == found:
			all = append(all, v1alpha1.SyncedSource{
				Source: w.src.Name, Path: w.path, Version: w.value.version, ETag: w.value.etag, ExpiresAt: moment(w.value.expires),
			})
		case w.outcome == unchanged:
			all = append(all, v1alpha1.SyncedSource{Source: w.src.Name, Path: w.path, ETag: w.etag})
		case w.outcome == missing && !w.below(): // every key from it is optional
			all = append(all, v1alpha1.SyncedSource{Source: w.src.Name, Path: w.path})
		}
	}
	return all
}

func moment(t *vaultapi.Time) *metav1.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	return &metav1.Time{Time: t.Time}
}

// agrees tells whether the target holds just what the vault does.
func (s *run) agrees() bool {
	doubt := slices.ContainsFunc(s.wanted, func(w wanted) bool {
		return w.outcome == unasked || w.outcome == missing && w.below()
	})
	return s.settled && !doubt && digest(s.state()) == s.obj.Status.SyncedDigest
}

// digest stands for a list of secrets and their etags. It covers no value.
func digest(all []v1alpha1.SyncedSource) string {
	h := sha256.New()
	for _, y := range all {
		_, _ = fmt.Fprintf(h, "%s\x00%s\x00%s\n", y.Source, y.Path, y.ETag)
	}
	return hex.EncodeToString(h.Sum(nil))
}
