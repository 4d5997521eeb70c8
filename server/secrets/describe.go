package secrets

import (
	"context"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// ReadMetadata describes the secret at p without its value. An expired secret is still described (contract OC-5).
func (s *Service) ReadMetadata(ctx context.Context, who guard.Caller, p Path) (vaultapi.SecretInfo, error) {
	a := access(ActionMetadataRead, ScopeList, policy.List, p)
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretInfo, error) {
		found, revision, err := describe(ctx, s.db, c.Who.Tenant, c.Now(), []string{p.text})
		if err != nil {
			return vaultapi.SecretInfo{}, err
		}
		c.Saw(revision)
		info, ok := found[p.text]
		if !ok {
			return info, notFound(p.text)
		}
		return info, nil
	})
}

// describe gives the metadata of those paths that hold live secrets, and the policy revision the same query
// saw; 0 where nothing was found.
func describe(ctx context.Context, q querier, tenant string, now time.Time, paths []string) (map[string]vaultapi.SecretInfo, int64, error) {
	rows, err := describedRows(ctx, q, tenant, paths)
	if err != nil {
		return nil, 0, err
	}
	used, err := usageRows(ctx, q, tenant, day(now), paths)
	if err != nil {
		return nil, 0, err
	}
	found, revision := make(map[string]vaultapi.SecretInfo, len(rows)), int64(0)
	for path, d := range rows {
		info, err := d.info(d.uid)
		if err != nil {
			return nil, 0, err
		}
		info.VersionCount, revision = d.versions, d.revision
		used[path].show(&info)
		found[path] = info
	}
	return found, revision, nil
}

func (u usage) show(info *vaultapi.SecretInfo) {
	info.AccessCount30d, info.LastAccessedAt = u.reads, vaultapi.MaybeAt(u.last)
}

// day counts UTC days since 1970.
func day(t time.Time) int64 { return t.Unix() / (24 * 60 * 60) }

// UpdateMetadata merges a patch into the metadata of the secret at p: a key replaces the key of that name,
// null removes it, the rest stays. It makes no version (contract recipe 35, OC-4).
func (s *Service) UpdateMetadata(ctx context.Context, who guard.Caller, p Path, patch vaultapi.MetadataPatch) (vaultapi.SecretInfo, error) {
	a := access(ActionMetadataUpdate, ScopeWrite, policy.Write, p)
	if patch.Metadata == nil {
		return refused[vaultapi.SecretInfo](ctx, s.guard, who, a, invalid("metadata", "metadata is required: an object of what to change"))
	}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretInfo, error) {
		h, err := s.liveHead(c, p.text)
		if err != nil {
			return vaultapi.SecretInfo{}, err
		}
		if h.metadata, err = mergeMetadata(h.metadata, patch.Metadata); err != nil {
			return vaultapi.SecretInfo{}, err
		}
		h.updated = c.Now().UnixMicro()
		info, err := s.rewritten(c, *h)
		if err != nil {
			return info, err
		}
		return info, c.Emit(EventMetadataUpdated, p.text, metadataUpdatedData{Version: h.version, UpdatedBy: c.Who.ID, Tags: info.Tags})
	})
}

// liveHead locks the head of a secret that is not deleted.
func (s *Service) liveHead(c *guard.Call, path string) (*head, error) {
	h, err := lockHead(s.db, c.Tx, c.Who.Tenant, path)
	if err != nil {
		return nil, err
	}
	if h == nil || h.deleted != nil {
		return nil, notFound(path)
	}
	return h, nil
}

// rewritten stores a head that was locked and describes the secret as it is then.
func (s *Service) rewritten(c *guard.Call, h head) (vaultapi.SecretInfo, error) {
	if err := updateHead(c.Tx, c.Who.Tenant, h); err != nil {
		return vaultapi.SecretInfo{}, err
	}
	s.forget(c.Tx, c.Who.Tenant, h.path)
	found, _, err := describe(c.Tx.Context(), within{c.Tx}, c.Who.Tenant, c.Now(), []string{h.path})
	if err != nil {
		return vaultapi.SecretInfo{}, err
	}
	return found[h.path], nil
}
