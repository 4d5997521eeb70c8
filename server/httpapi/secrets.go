package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/secrets"
)

type secretHandlers struct{ service *secrets.Service }

func secretRoutes(h secretHandlers) []route {
	const (
		list  = "/v1/secrets"
		one   = "/v1/secrets/" + secretWildcard
		batch = "/v1/secrets/batch"
	)
	info := func(i vaultapi.SecretInfo) string { return i.Etag }
	return []route{
		{method: http.MethodGet, pattern: list, id: "listSecrets", summary: "List the secrets that the caller may list",
			group: groupSecrets, scope: secrets.ScopeList, rate: rateList, action: secrets.ActionList,
			endpoint: handle(h.list).withEncoding(appendSecretList)},
		{method: http.MethodPost, pattern: batch, id: "batchRead", summary: "Read up to 100 secrets",
			group: groupSecrets, scope: secrets.ScopeRead, rate: rateBatchRead, action: secrets.ActionRead,
			endpoint: handle(h.batchRead).withEncoding(appendBatch).withWireType(vaultapi.BatchResponse{})},
		{method: http.MethodPost, pattern: batch + "/metadata", id: "batchMetadata", summary: "Describe up to 100 secrets",
			group: groupSecrets, scope: secrets.ScopeList, rate: rateBatchMetadata, action: secrets.ActionMetadataRead,
			endpoint: handle(h.batchMetadata).withEncoding(appendBatchMetadata)},
		{method: http.MethodGet, pattern: one, id: "readSecret", summary: "Read a secret's values",
			group: groupSecrets, scope: secrets.ScopeRead, rate: rateReadSecrets, action: secrets.ActionRead,
			alsoStatus: []int{http.StatusNotModified},
			endpoint:   handle(h.read).withEtag(secretEtag).withEncoding(appendSecret).withWireType(vaultapi.Secret{})},
		{method: http.MethodPut, pattern: one, id: "writeSecret", summary: "Write a new version of a secret",
			group: groupSecrets, scope: secrets.ScopeWrite, rate: rateWriteSecrets, action: secrets.ActionWrite,
			alsoStatus: []int{http.StatusCreated},
			endpoint:   handle(h.write).withStatus(writeStatus).withEtag(info).withEncoding(appendInfoOf)},
		{method: http.MethodPatch, pattern: one, id: "patchSecret", summary: "Merge a secret's metadata",
			group: groupSecrets, scope: secrets.ScopeWrite, rate: rateWriteSecrets, action: secrets.ActionMetadataUpdate,
			endpoint: handle(h.updateMetadata).withEtag(info).withEncoding(appendInfoOf)},
		{method: http.MethodDelete, pattern: one, id: "deleteSecret", summary: "Delete a secret, by default so that it can be restored",
			group: groupSecrets, scope: secrets.ScopeDelete, rate: rateDeleteSecrets, action: secrets.ActionDelete, endpoint: handle(h.delete)},
		{method: http.MethodGet, pattern: one + suffixMetadata, id: "readMetadata", summary: "Describe a secret without its values",
			group: groupSecrets, scope: secrets.ScopeList, rate: rateReadSecrets, action: secrets.ActionMetadataRead,
			alsoStatus: []int{http.StatusNotModified},
			endpoint:   handle(h.metadata).withEtag(info).withEncoding(appendInfoOf)},
		{method: http.MethodPatch, pattern: one + suffixMetadata, id: "updateMetadata", summary: "Merge a secret's metadata",
			group: groupSecrets, scope: secrets.ScopeWrite, rate: rateWriteSecrets, action: secrets.ActionMetadataUpdate,
			endpoint: handle(h.updateMetadata).withEtag(info).withEncoding(appendInfoOf)},
		{method: http.MethodGet, pattern: one + suffixVersions, id: "listVersions", summary: "List a secret's kept versions",
			group: groupSecrets, scope: secrets.ScopeList, rate: rateReadSecrets, action: secrets.ActionVersionsRead, endpoint: handle(h.versions)},
		{method: http.MethodPost, pattern: one + suffixRestore, id: "restoreSecret", summary: "Undo a deletion",
			group: groupSecrets, scope: secrets.ScopeDelete, rate: rateDeleteSecrets, action: secrets.ActionRestore,
			endpoint: handle(h.restore).withEncoding(appendInfoOf)},
	}
}

type secretInput struct {
	Path secrets.Path `path:"path"`
}

type readInput struct {
	Path    secrets.Path `path:"path"`
	Version int64        `query:"version" minimum:"1" description:"a version; default: the newest"`
	View    string       `query:"view" enum:"metadata,versions" description:"answer like the route of that name"`
}

func (h secretHandlers) read(ctx context.Context, c *call, in readInput) (secrets.Secret, error) {
	s, err := h.service.Read(ctx, c.who, in.Path, in.Version)
	if err == nil {
		c.s.metrics.reads.WithLabelValues(c.who.Tenant, s.SecretType).Inc()
	}
	return s, err
}

func secretEtag(s secrets.Secret) string { return s.Etag }

type writeInput struct {
	Path secrets.Path `path:"path"`
	Body vaultapi.WriteRequest
}

func (h secretHandlers) write(ctx context.Context, c *call, in writeInput) (vaultapi.SecretInfo, error) {
	info, err := h.service.Write(ctx, c.who, in.Path, in.Body)
	if err == nil {
		c.s.metrics.writes.WithLabelValues(c.who.Tenant).Inc()
	}
	return info, err
}

// writeStatus: the first version makes the secret (contract OC-5).
func writeStatus(i vaultapi.SecretInfo) int {
	if i.Version == 1 {
		return http.StatusCreated
	}
	return http.StatusOK
}

type listInput struct {
	Prefix          string        `query:"prefix" description:"such as environments/staging/"`
	Limit           int           `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor          string        `query:"cursor"`
	IncludeMetadata bool          `query:"include_metadata"`
	ExpiringWithin  time.Duration `query:"expiring_within" description:"a duration such as 30d"`
}

func (h secretHandlers) list(ctx context.Context, c *call, in listInput) (vaultapi.SecretList, error) {
	return h.service.List(ctx, c.who, secrets.ListQuery{
		Prefix: in.Prefix, Limit: in.Limit, Cursor: in.Cursor, IncludeMetadata: in.IncludeMetadata, ExpiringWithin: in.ExpiringWithin,
	})
}

type metadataInput struct {
	Path secrets.Path `path:"path"`
	Body vaultapi.MetadataPatch
}

func (h secretHandlers) metadata(ctx context.Context, c *call, in secretInput) (vaultapi.SecretInfo, error) {
	return h.service.ReadMetadata(ctx, c.who, in.Path)
}

func (h secretHandlers) updateMetadata(ctx context.Context, c *call, in metadataInput) (vaultapi.SecretInfo, error) {
	return h.service.UpdateMetadata(ctx, c.who, in.Path, in.Body)
}

func (h secretHandlers) versions(ctx context.Context, c *call, in secretInput) (vaultapi.VersionList, error) {
	return h.service.Versions(ctx, c.who, in.Path)
}

type deleteInput struct {
	Path      secrets.Path `path:"path"`
	Permanent bool         `query:"permanent" description:"at once and for good"`
}

func (h secretHandlers) delete(ctx context.Context, c *call, in deleteInput) (vaultapi.DeleteResult, error) {
	return h.service.Delete(ctx, c.who, in.Path, in.Permanent)
}

func (h secretHandlers) restore(ctx context.Context, c *call, in secretInput) (vaultapi.SecretInfo, error) {
	return h.service.Restore(ctx, c.who, in.Path)
}
