package audit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/scailabs/scaivault/server/store"
)

const (
	chunkSteps   = 256  // rows per transaction: callers in the same batch wait for them
	rowsPerQuery = 8    // more rows in one statement cost more per row on SQLite (docs/adr/0002-audit-blocks.md)
	tableBlocks  = 1024 // blocks per segment that is read from the table
)

// errMoved says that somebody else indexed the chain meanwhile: on PostgreSQL a process that stood still for a
// minute and then went on, or the one that took over from it.
var errMoved = errors.New("audit chain was indexed by another process")

// progress is a row of audit_chains: everything up to indexed is done, and of the segment up to target
// everything up to step.
type progress struct {
	indexed, target int64
	step            string
}

// index brings the index up to date, chain by chain, and returns the first error after it has tried all.
func (l *Log) index(ctx context.Context) error {
	l.indexing.Lock()
	defer l.indexing.Unlock()
	var first error
	for _, id := range l.behind() {
		if err := l.indexChain(ctx, id); err != nil && first == nil {
			first = err
		}
	}
	return first
}

func (l *Log) behind() []chainID {
	l.mu.Lock()
	defer l.mu.Unlock()
	var ids []chainID
	for id, f := range l.feeds {
		if f.indexed < f.head {
			ids = append(ids, id)
		}
	}
	return ids
}

// indexChain indexes what a chain had when it was called. Whatever fails, the chain is read from the table the
// next time: the way back after a failure is the way back after a crash.
func (l *Log) indexChain(ctx context.Context, id chainID) error {
	l.mu.Lock()
	f := l.feeds[id]
	s, indexed, head, lost := segment{id, f.take()}, f.indexed, f.head, f.lost
	f.lost = false // what is committed from here on waits in memory again
	l.mu.Unlock()
	end, err := head, error(nil)
	if lost {
		end, err = l.indexTable(ctx, id, head)
	} else {
		err = l.apply(ctx, s, progress{indexed: indexed, target: indexed})
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		f.lose()
		return fmt.Errorf("index audit chain %s of %s: %w", id.writer, id.tenant, err)
	}
	f.reached(end)
	return nil
}

// indexTable indexes a chain up to head from the table, going on in the middle of a segment where somebody
// stopped in it. It returns how far the index reaches now.
func (l *Log) indexTable(ctx context.Context, id chainID, head int64) (int64, error) {
	for {
		var p progress
		if err := l.db.QueryRow(ctx, selectChain, id.tenant, id.writer).Scan(&p.indexed, &p.target, &p.step); err != nil {
			return 0, err
		}
		if p.indexed >= head {
			return p.indexed, nil
		}
		s, err := l.unindexed(ctx, id, p, head)
		if err != nil {
			return 0, err
		}
		if err := l.apply(ctx, s, p); err != nil {
			return 0, err
		}
	}
}

// unindexed reads the next segment of a chain. One that was begun is the same again.
func (l *Log) unindexed(ctx context.Context, id chainID, p progress, head int64) (segment, error) {
	upTo, limit := p.target, math.MaxInt32
	if p.target == p.indexed {
		upTo, limit = head, tableBlocks
	}
	s := segment{chainID: id}
	rows, err := l.db.Query(ctx, selectUnindexed, id.tenant, id.writer, p.indexed, upTo, limit)
	if err != nil {
		return s, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var b segmentBlock
		var body []byte
		if err := rows.Scan(&b.first, &b.last, &b.firstAt, &b.lastAt, &body); err != nil {
			return s, err
		}
		b.facts = facts(body)
		s.blocks = append(s.blocks, b)
	}
	if err := rows.Err(); err != nil {
		return s, err
	}
	if len(s.blocks) == 0 || s.first() != p.indexed+1 {
		return s, fmt.Errorf("entries after %d are gone from the table", p.indexed)
	}
	return s, nil
}

// facts are those of a block's lines. A line that cannot be read has a fact without events: the index must not stop
// there for good, and Verify says what is wrong.
func facts(body []byte) []fact {
	var out []fact
	_ = lines(body, func(line []byte) error {
		e, err := decodeLine(line)
		f := factOf(&e)
		if err != nil {
			f = fact{}
		}
		out = append(out, f)
		return nil
	})
	return out
}

// apply writes a segment's rows in transactions of l.chunk rows, each of which moves the chain's progress
// from where the one before left it. So every row is written exactly once, whoever stops where.
func (l *Log) apply(ctx context.Context, s segment, p progress) error {
	if s.first() != p.indexed+1 {
		return errMoved
	}
	steps := s.steps()
	if p.step != "" {
		steps = after(steps, p.step)
	}
	for {
		n := min(len(steps), l.chunk)
		next := progress{indexed: p.indexed, target: s.last()}
		if n == len(steps) {
			next.indexed = s.last()
		} else {
			next.step = steps[n-1].key
		}
		if err := l.advance(ctx, s, steps[:n], p, next); err != nil {
			return err
		}
		l.written.Add(int64(n))
		if steps, p = steps[n:], next; p.indexed == p.target {
			return nil
		}
	}
}

// after drops the steps up to key.
func after(steps []step, key string) []step {
	for i, st := range steps {
		if st.key > key {
			return steps[i:]
		}
	}
	return nil
}

func (l *Log) advance(ctx context.Context, s segment, steps []step, from, to progress) error {
	firstAt, lastAt := s.span()
	return l.db.Update(ctx, func(tx *store.Tx) error {
		var p progress
		err := tx.QueryRow(selectChain+l.db.ForUpdate(), s.tenant, s.writer).Scan(&p.indexed, &p.target, &p.step)
		if err != nil {
			return err
		}
		if p != from {
			return errMoved
		}
		if err := l.write(tx, steps); err != nil {
			return err
		}
		_, err = tx.Exec(updateChain, s.tenant, s.writer, to.indexed, to.target, to.step, lastAt-firstAt)
		return err
	})
}

func (s segment) span() (first, last int64) {
	first, last = span([]ref{s.blocks[0].ref})
	for _, b := range s.blocks[1:] {
		first, last = min(first, b.firstAt), max(last, b.lastAt)
	}
	return first, last
}

// write executes steps, rowsPerQuery to a statement where that many of one table follow each other.
func (l *Log) write(tx *store.Tx, steps []step) error {
	for len(steps) > 0 {
		u := l.upserts[steps[0].table]
		query, n := u.many, run(steps)
		if n < rowsPerQuery {
			query, n = u.one, 1
		}
		args := make([]any, 0, n*u.columns)
		for _, st := range steps[:n] {
			args = append(args, st.args...)
		}
		if _, err := tx.Exec(query, args...); err != nil {
			return err
		}
		steps = steps[n:]
	}
	return nil
}

// run is how many steps from the first are of its table, at most rowsPerQuery.
func run(steps []step) int {
	n := 1
	for n < min(len(steps), rowsPerQuery) && steps[n].table == steps[0].table {
		n++
	}
	return n
}
