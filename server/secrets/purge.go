package secrets

import (
	"context"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// PurgeDue removes up to limit secrets whose retention was over at now, as system:secrets, each in a
// transaction of its own with its audit entry and event. It returns how many it removed. Several replicas
// may call it at once.
func (s *Service) PurgeDue(ctx context.Context, now time.Time, limit int) (int, error) {
	due, err := s.purgeable(ctx, now, limit)
	if err != nil {
		return 0, err
	}
	removed := 0
	for _, key := range due {
		err := s.purge(ctx, key, now)
		if err == nil {
			removed++
			continue
		}
		if !fault.Is(err, fault.CodeSecretNotFound) { // not found: restored, or purged by a replica
			return removed, err
		}
	}
	return removed, nil
}

func (s *Service) purgeable(ctx context.Context, now time.Time, limit int) ([]cacheKey, error) {
	const query = `SELECT tenant, path FROM secrets WHERE purge_at IS NOT NULL AND purge_at <= $1 ORDER BY purge_at LIMIT $2`
	var due []cacheKey
	err := each(ctx, s.db, query, []any{now.UnixMicro(), limit}, func(row scanner) error {
		var key cacheKey
		err := row.Scan(&key.tenant, &key.path)
		due = append(due, key)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("secrets to purge: %w", err)
	}
	return due, nil
}

func (s *Service) purge(ctx context.Context, key cacheKey, now time.Time) error {
	a := guard.Access{Action: ActionPurge, Path: key.path}
	_, err := guard.Change(ctx, s.guard, guard.System("secrets", key.tenant), a, func(c *guard.Call) (struct{}, error) {
		h, err := lockHead(s.db, c.Tx, key.tenant, key.path)
		if err != nil {
			return struct{}{}, err
		}
		if h == nil || h.deleted == nil || !h.gone(now) {
			return struct{}{}, notFound(key.path)
		}
		_, err = s.removeForGood(c, *h)
		return struct{}{}, err
	})
	return err
}
