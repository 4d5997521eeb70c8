package audit

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

// deadAfter is how long a writer's seen_at must stand still before another process takes its chains over.
const deadAfter = time.Minute

// writers keeps this process's writers alive in the table and takes over those of processes that are gone.
// A writer counts as gone when its seen_at has not changed while this process watched for deadAfter: no two
// clocks are compared. On an engine with one process everybody else is gone from the start.
type writers struct {
	log     *Log
	watched map[string]sighting
	taken   map[string]bool
}

type sighting struct {
	seenAt int64
	since  time.Time
}

func newWriters(l *Log) *writers {
	return &writers{log: l, watched: map[string]sighting{}, taken: map[string]bool{}}
}

// tend runs one round: heartbeat, take over, look for entries that nobody told the indexer of, and let go of
// writers of which everything is done.
func (w *writers) tend(ctx context.Context) error {
	if err := w.beat(ctx); err != nil {
		return fmt.Errorf("heartbeat of audit writers: %w", err)
	}
	if err := w.close(ctx); err != nil {
		return fmt.Errorf("close audit writers: %w", err)
	}
	if err := w.claim(ctx); err != nil {
		return fmt.Errorf("take over audit writers: %w", err)
	}
	if err := w.log.find(ctx); err != nil {
		return fmt.Errorf("find audit chains behind the index: %w", err)
	}
	return nil
}

// beat renews seen_at, and takes back what was claimed while this process stood still. Where there is one
// process nobody watches, and nothing is written.
func (w *writers) beat(ctx context.Context) error {
	own := w.log.ownWriters()
	if w.log.db.Exclusive() || len(own)+len(w.taken) == 0 {
		return nil
	}
	return w.log.db.Update(ctx, func(tx *store.Tx) error {
		for _, name := range own {
			if _, err := tx.Exec(keepWriter, w.log.owner, name); err != nil {
				return err
			}
		}
		_, err := tx.Exec(beatWriters, w.log.now().UnixMicro(), w.log.owner)
		return err
	})
}

func (l *Log) ownWriters() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Collect(maps.Keys(l.writers))
}

// claim takes over the writers that are gone, each by a short UPDATE that succeeds for one claimant only, and
// has the ends of their chains signed.
func (w *writers) claim(ctx context.Context) error {
	open, err := w.open(ctx)
	if err != nil {
		return err
	}
	now := w.log.now()
	for name, seenAt := range open {
		if w.gone(name, seenAt, now) {
			if err := w.take(ctx, name, seenAt, now); err != nil {
				return err
			}
		}
	}
	maps.DeleteFunc(w.watched, func(name string, _ sighting) bool { _, ok := open[name]; return !ok })
	return nil
}

func (w *writers) take(ctx context.Context, name string, seenAt int64, now time.Time) error {
	won := false
	err := w.log.db.Update(ctx, func(tx *store.Tx) error {
		res, err := tx.Exec(claimWriter, w.log.owner, now.UnixMicro(), name, seenAt)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		won = n == 1
		return err
	})
	if err != nil || !won {
		return err
	}
	w.taken[name] = true
	heads := map[chainID]chain{}
	if err := w.log.addHeads(ctx, heads, selectWriterHeads, name); err != nil {
		return err
	}
	w.log.unsign(heads)
	return nil
}

// unsign has heads signed by the next checkpoint.
func (l *Log) unsign(heads map[chainID]chain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.Copy(l.heads, heads)
}

// open lists the writers that others look after, with their seen_at.
func (w *writers) open(ctx context.Context) (map[string]int64, error) {
	rows, err := w.log.db.Query(ctx, selectOpenWriters, w.log.owner)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	open := map[string]int64{}
	for rows.Next() {
		var name string
		var seenAt int64
		if err := rows.Scan(&name, &seenAt); err != nil {
			return nil, err
		}
		open[name] = seenAt
	}
	return open, rows.Err()
}

func (w *writers) gone(name string, seenAt int64, now time.Time) bool {
	if w.log.db.Exclusive() {
		return true
	}
	last, ok := w.watched[name]
	if !ok || last.seenAt != seenAt {
		w.watched[name] = sighting{seenAt, now}
		return false
	}
	return now.Sub(last.since) >= deadAfter
}

// close lets go of writers that were taken over in an earlier round and of which everything is indexed and
// signed. An entry that such a writer should add after all is still found by queries, which read the end of
// every chain, and indexed once the writer's own process has taken it back.
func (w *writers) close(ctx context.Context) error {
	for name := range w.taken {
		if !w.log.settled(name) {
			continue
		}
		err := w.log.db.Update(ctx, func(tx *store.Tx) error {
			_, err := tx.Exec(closeWriter, name, w.log.owner)
			return err
		})
		if err != nil {
			return err
		}
		w.log.forget(name)
		delete(w.taken, name)
	}
	return nil
}

func (l *Log) settled(writer string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, f := range l.feeds {
		if id.writer == writer && f.indexed < f.head {
			return false
		}
	}
	for id := range l.heads {
		if id.writer == writer {
			return false
		}
	}
	return true
}

func (l *Log) forget(writer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.feeds, func(id chainID, _ *feed) bool { return id.writer == writer })
}

// find tells the indexer of chains that have entries beyond the index and did not come through memory.
func (l *Log) find(ctx context.Context) error {
	rows, err := l.db.Query(ctx, selectBehind, l.owner)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id chainID
		var indexed, head int64
		if err := rows.Scan(&id.tenant, &id.writer, &indexed, &head); err != nil {
			return err
		}
		l.found(id, indexed, head)
	}
	return rows.Err()
}

func (l *Log) found(id chainID, indexed, head int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.feeds[id]
	if f == nil {
		f = &feed{}
		l.feeds[id] = f
	}
	if head > f.head {
		f.reached(indexed)
		f.head = head
		f.lose()
	}
}
