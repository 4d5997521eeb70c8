package authn

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

// FlushEvery is how often last uses are written, and so how far last_used_at may lag.
const FlushEvery = 5 * time.Second

// maxUses bounds what is collected between two flushes; beyond it further tokens wait for their next use.
const maxUses = 50_000

// lastUse collects when tokens were last used, so that a read of a secret does not write to their rows.
type lastUse struct {
	mu   sync.Mutex
	uses map[string]int64
}

func newLastUse() *lastUse { return &lastUse{uses: map[string]int64{}} }

func (l *lastUse) mark(id string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if _, seen := l.uses[id]; seen || len(l.uses) < maxUses {
		l.uses[id] = now.UnixMicro()
	}
}

func (l *lastUse) take() map[string]int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.uses
	l.uses = map[string]int64{}
	return taken
}

// restore puts back what could not be written, unless a later use is known.
func (l *lastUse) restore(uses map[string]int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, at := range uses {
		if at > l.uses[id] && len(l.uses) < maxUses {
			l.uses[id] = at
		}
	}
}

// FlushLastUsed writes the uses collected since the last flush, in one transaction; none: it writes nothing.
func (s *Service) FlushLastUsed(ctx context.Context) error {
	uses := s.used.take()
	if len(uses) == 0 {
		return nil
	}
	ids := slices.Sorted(maps.Keys(uses)) // in order, so that two replicas never wait for each other
	err := s.db.Update(ctx, func(tx *store.Tx) error {
		for _, id := range ids {
			if err := touchToken(tx, id, uses[id]); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		s.used.restore(uses)
	}
	return err
}

// Run writes last uses until ctx ends, then writes what is left.
func (s *Service) Run(ctx context.Context) error {
	flush := time.NewTicker(FlushEvery)
	defer flush.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), FlushEvery)
			defer cancel()
			return s.FlushLastUsed(last)
		case <-flush.C:
			if err := s.FlushLastUsed(ctx); err != nil {
				s.log.Warn("last uses of tokens could not be written; trying again", "error", err)
			}
		}
	}
}
