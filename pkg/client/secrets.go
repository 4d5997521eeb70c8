package client

import (
	"context"
	"errors"
	"iter"
	"net/http"
	"net/url"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// ErrNotModified says that the secret still has the etag given in ReadOptions.IfNoneMatch (HTTP 304).
var ErrNotModified = errors.New("not modified")

// Secrets are the calls under /v1/secrets.
type Secrets struct{ c *Client }

// ReadOptions narrow a read.
type ReadOptions struct {
	Version     int64  // 0: the current one
	IfNoneMatch string // an etag; the same one gives ErrNotModified
}

// ListOptions select secrets.
type ListOptions struct {
	Prefix          string
	Limit           int // of one page: default 100, at most 1000
	Cursor          string
	IncludeMetadata bool
	ExpiringWithin  string // a duration such as 30d
}

// DeleteOptions say how a secret goes.
type DeleteOptions struct {
	Permanent bool // at once and for good; otherwise it can be restored for 30 days
}

// Read returns a secret with its values.
func (s *Secrets) Read(ctx context.Context, path string, o ReadOptions) (*vaultapi.Secret, error) {
	q := query{}
	q.number("version", o.Version)
	r := request{method: http.MethodGet, query: url.Values(q), etag: strings.Trim(o.IfNoneMatch, `"`), repeat: true}
	return onPath[vaultapi.Secret](ctx, s.c, path, "", r)
}

// Write makes a new version. It is never repeated on its own; Options.CASVersion makes it safe to repeat.
func (s *Secrets) Write(ctx context.Context, path string, w vaultapi.WriteRequest) (*vaultapi.SecretInfo, error) {
	return onPath[vaultapi.SecretInfo](ctx, s.c, path, "", request{method: http.MethodPut, body: w})
}

// ReadMetadata returns all but the values; scope secrets:list suffices.
func (s *Secrets) ReadMetadata(ctx context.Context, path string) (*vaultapi.SecretInfo, error) {
	return onPath[vaultapi.SecretInfo](ctx, s.c, path, "/metadata", request{method: http.MethodGet, repeat: true})
}

// UpdateMetadata merges metadata: a nil value removes a key, tags are replaced as given.
func (s *Secrets) UpdateMetadata(ctx context.Context, path string, metadata map[string]any) (*vaultapi.SecretInfo, error) {
	body := vaultapi.MetadataPatch{Metadata: metadata}
	return onPath[vaultapi.SecretInfo](ctx, s.c, path, "/metadata", request{method: http.MethodPatch, body: body, repeat: true})
}

// Versions lists a secret's versions, newest first.
func (s *Secrets) Versions(ctx context.Context, path string) (*vaultapi.VersionList, error) {
	return onPath[vaultapi.VersionList](ctx, s.c, path, "/versions", request{method: http.MethodGet, repeat: true})
}

// Delete removes a secret.
func (s *Secrets) Delete(ctx context.Context, path string, o DeleteOptions) (*vaultapi.DeleteResult, error) {
	q := query{}
	q.flag("permanent", o.Permanent)
	return onPath[vaultapi.DeleteResult](ctx, s.c, path, "", request{method: http.MethodDelete, query: url.Values(q)})
}

// Restore undoes a soft delete.
func (s *Secrets) Restore(ctx context.Context, path string) (*vaultapi.SecretInfo, error) {
	return onPath[vaultapi.SecretInfo](ctx, s.c, path, "/restore", request{method: http.MethodPost})
}

// Rotate rotates a secret now. It is never repeated on its own.
func (s *Secrets) Rotate(ctx context.Context, path string, w vaultapi.SecretRotation) (*vaultapi.SecretRotated, error) {
	return onPath[vaultapi.SecretRotated](ctx, s.c, path, "/rotate", request{method: http.MethodPost, body: w})
}

// List returns one page of the secrets on which the caller holds list.
func (s *Secrets) List(ctx context.Context, o ListOptions) (*vaultapi.SecretList, error) {
	q := query{}
	q.text("prefix", o.Prefix)
	q.text("expiring_within", o.ExpiringWithin)
	q.flag("include_metadata", o.IncludeMetadata)
	q.page(o.Limit, o.Cursor)
	return on[vaultapi.SecretList](ctx, s.c, request{method: http.MethodGet, path: "/secrets", query: url.Values(q), repeat: true})
}

// All walks through every page from o.Cursor on. It ends with the first error.
func (s *Secrets) All(ctx context.Context, o ListOptions) iter.Seq2[vaultapi.SecretInfo, error] {
	return func(yield func(vaultapi.SecretInfo, error) bool) {
		for {
			page, err := s.List(ctx, o)
			if err != nil {
				yield(vaultapi.SecretInfo{}, err)
				return
			}
			for _, item := range page.Secrets {
				if !yield(item, nil) {
					return
				}
			}
			if page.Cursor == nil || *page.Cursor == "" || !page.HasMore {
				return
			}
			o.Cursor = *page.Cursor
		}
	}
}

// BatchRead reads up to 100 secrets; what befell a path that has no answer is in Errors.
func (s *Secrets) BatchRead(ctx context.Context, b vaultapi.BatchRequest) (*vaultapi.BatchResponse, error) {
	r := request{method: http.MethodPost, path: "/secrets/batch", body: b, repeat: true, limit: maxBatchAnswer}
	return on[vaultapi.BatchResponse](ctx, s.c, r)
}

// BatchMetadata is BatchRead without values; scope secrets:list suffices.
func (s *Secrets) BatchMetadata(ctx context.Context, b vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error) {
	r := request{method: http.MethodPost, path: "/secrets/batch/metadata", body: b, repeat: true}
	return on[vaultapi.BatchMetadataResponse](ctx, s.c, r)
}
