package vaultsecret

import (
	"context"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	batchLimit = 100 // paths per call, by contract

	// prefixesPerCall keeps the answer within the 1000 secrets that one call gives, as long as prefixes are
	// not large; a large one is asked for alone.
	prefixesPerCall = 10
)

// metadataReader reads etags as the operator; *client.Secrets fits.
type metadataReader interface {
	BatchMetadata(context.Context, vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error)
}

// stock is what the vault holds, as far as objects read it.
type stock struct {
	etags map[string]string   // of the newest version by path; a missing or expired secret has none
	below map[string][]string // paths in order by prefix; one that covers too many is not in it
}

// takeStock asks for the newest etag of every secret that a finished object reads.
func (s *Sink) takeStock(ctx context.Context, objs []v1alpha1.VaultSecret) (stock, error) {
	var paths, prefixes []string
	for i := range objs {
		if !finished(&objs[i]) {
			continue
		}
		for _, place := range byPath(&objs[i]) {
			if strings.HasSuffix(place, "/") {
				prefixes = append(prefixes, place)
			} else {
				paths = append(paths, place)
			}
		}
	}
	all := stock{etags: map[string]string{}, below: map[string][]string{}}
	for chunk := range slices.Chunk(unique(paths), batchLimit) {
		if _, err := s.ask(ctx, all, vaultapi.BatchRequest{Paths: chunk}); err != nil {
			return stock{}, err
		}
	}
	for chunk := range slices.Chunk(unique(prefixes), prefixesPerCall) {
		if err := s.askBelow(ctx, all, chunk); err != nil {
			return stock{}, err
		}
	}
	return all, nil
}

func unique(all []string) []string {
	slices.Sort(all)
	return slices.Compact(all)
}

// ask adds the etags that a call gives.
func (s *Sink) ask(ctx context.Context, to stock, b vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error) {
	got, err := s.Vault.BatchMetadata(ctx, b)
	if err != nil {
		return nil, vault.Explain(err, "compare with the vault")
	}
	for path, info := range got.Secrets {
		if info.ExpiresAt == nil || info.ExpiresAt.After(s.Now()) {
			to.etags[path] = info.Etag
		}
	}
	return got, nil
}

// askBelow adds what is below prefixes. One that did not fit into the answer beside the others is asked for alone.
func (s *Sink) askBelow(ctx context.Context, to stock, prefixes []string) error {
	b := vaultapi.BatchRequest{ExpandWildcards: true}
	for _, p := range prefixes {
		b.Paths = append(b.Paths, p+"**")
	}
	got, err := s.ask(ctx, to, b)
	if err != nil {
		return err
	}
	for _, p := range prefixes {
		_, failed := got.Errors[p+"**"]
		switch {
		case !failed:
			to.below[p] = to.covered(got, p)
		case len(prefixes) > 1:
			if err := s.askBelow(ctx, to, []string{p}); err != nil {
				return err
			}
		}
	}
	return nil
}

// covered lists the live secrets of an answer that are below a prefix.
func (k stock) covered(got *vaultapi.BatchMetadataResponse, prefix string) []string {
	paths := []string{}
	for path := range got.Secrets {
		if _, live := k.etags[path]; live && strings.HasPrefix(path, prefix) {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return paths
}

// synced tells whether the target holds the newest version of every secret that the sources stand for. Where the
// ServiceAccount may not see everything below a prefix this cannot be told, and the object is run.
func synced(obj *v1alpha1.VaultSecret, has stock) bool {
	var want []v1alpha1.SyncedSource
	for _, src := range obj.Spec.Sources {
		switch {
		case src.PathPrefix != "":
			paths, known := has.below[string(src.PathPrefix)]
			if !known {
				return false
			}
			for _, p := range paths {
				want = append(want, v1alpha1.SyncedSource{Source: src.Name, Path: p, ETag: has.etags[p]})
			}
		case src.Version != nil: // does not change; whether it still exists is for the next refresh
			y, known := heldBy(obj, src)
			if !known {
				return false
			}
			want = append(want, y)
		default:
			want = append(want, v1alpha1.SyncedSource{Source: src.Name, Path: string(src.Path), ETag: has.etags[string(src.Path)]})
		}
	}
	return digest(want) == obj.Status.SyncedDigest
}

func heldBy(obj *v1alpha1.VaultSecret, src v1alpha1.Source) (v1alpha1.SyncedSource, bool) {
	i := slices.IndexFunc(obj.Status.Synced, func(y v1alpha1.SyncedSource) bool {
		return y.Source == src.Name && y.Path == string(src.Path)
	})
	if i < 0 {
		return v1alpha1.SyncedSource{}, false
	}
	return obj.Status.Synced[i], true
}
