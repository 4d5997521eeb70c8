package audit

import (
	"context"
	"errors"
	"fmt"
	"math"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// errTooMany says that more entries lie in the parts of hours at the ends of an interval than a query looks at.
var errTooMany = errors.New("too many entries for one query")

// scope narrows a tally to one identity or one path; empty fields do not.
type scope struct{ identity, path string }

func (s scope) holds(f fact) bool { return either(s.identity, f.identity) && either(s.path, f.path) }

func (s scope) term() string {
	switch {
	case s.path != "":
		return termPath + s.path
	case s.identity != "":
		return termIdentity + s.identity
	}
	return termAll
}

// deed is what was done: an activityKey without its hour.
type deed struct {
	identity, path, action string
	ok                     bool
}

func (f fact) deed() deed { return deed{f.identity, f.path, f.action, f.ok} }

// deeds counts what happened in an interval. Whole hours come from the sums the indexer keeps, and from the entries
// it has not reached; the parts of hours at the ends are counted entry by entry. Where those hold more than
// scanBudget, they count as whole hours: nothing that happened in the interval is left out.
func (l *Log) deeds(ctx context.Context, tenant string, s scope, r interval) (map[deed]tally, error) {
	if r.to >= l.now().UnixMicro() {
		r.to = math.MaxInt64 // nothing has happened after now: the present hour counts as a whole
	}
	whole, parts := hours(r)
	out := map[deed]tally{}
	for _, part := range parts {
		err := l.countEntries(ctx, tenant, s, part, out)
		if errors.Is(err, errTooMany) {
			out, whole = map[deed]tally{}, outward(r)
			break
		}
		if err != nil {
			return nil, err
		}
	}
	if whole.from > whole.to {
		return out, nil
	}
	return out, l.countHours(ctx, tenant, s, whole, out)
}

// hours splits an interval into its whole hours (numbers since 1970, inclusive; from > to: none) and the rest.
func hours(r interval) (interval, []interval) {
	whole := interval{from: math.MinInt64, to: math.MaxInt64}
	if r.from != math.MinInt64 {
		whole.from = floorDiv(r.from-1, hourMicros) + 1
	}
	if r.to != math.MaxInt64 {
		whole.to = floorDiv(r.to+1, hourMicros) - 1
	}
	if whole.from > whole.to {
		return whole, []interval{r}
	}
	var parts []interval
	if r.from != math.MinInt64 && r.from < whole.from*hourMicros {
		parts = append(parts, interval{r.from, whole.from*hourMicros - 1})
	}
	if r.to != math.MaxInt64 && r.to >= (whole.to+1)*hourMicros {
		parts = append(parts, interval{(whole.to + 1) * hourMicros, r.to})
	}
	return whole, parts
}

// outward is the hours that r touches.
func outward(r interval) interval {
	if r.from != math.MinInt64 {
		r.from = floorDiv(r.from, hourMicros)
	}
	if r.to != math.MaxInt64 {
		r.to = floorDiv(r.to, hourMicros)
	}
	return r
}

func (l *Log) countEntries(ctx context.Context, tenant string, s scope, r interval, out map[deed]tally) error {
	find := search{tenant: tenant, term: s.term(), from: r.from, to: r.to}
	find.match = func(e *guard.Entry) bool { return s.holds(factOf(e)) }
	stopped, err := l.scan(ctx, find, func(f found) bool {
		fact := factOf(&f.entry)
		out[fact.deed()] = out[fact.deed()].add(fact.tally())
		return true
	})
	if err == nil && stopped != (position{}) {
		return errTooMany
	}
	return err
}

// waiting is an entry that the indexer had not reached when it was read.
type waiting struct {
	fact
	writer string
	seq    int64
}

// countHours reads what waits for the indexer first and the sums after it, together with how far they go: so an
// entry that is summed in between is met in both, and counted once.
func (l *Log) countHours(ctx context.Context, tenant string, s scope, whole interval, out map[deed]tally) error {
	tail, err := l.waiting(ctx, tenant)
	if err != nil {
		return err
	}
	summed, err := l.sums(ctx, tenant, s, whole, out)
	if err != nil {
		return err
	}
	for _, w := range tail {
		k := w.activity()
		if w.events == 0 || k.hour < whole.from || k.hour > whole.to || !s.holds(w.fact) || summed[w.writer].holds(w) {
			continue
		}
		out[w.deed()] = out[w.deed()].add(w.tally())
	}
	return nil
}

// holds tells whether the sums that were read with p include w.
func (p progress) holds(w waiting) bool {
	return w.seq <= p.indexed || w.seq <= p.target && w.activity().stepKey() <= p.step
}

func (l *Log) waiting(ctx context.Context, tenant string) ([]waiting, error) {
	tails, err := l.tails(ctx, tenant)
	if err != nil {
		return nil, err
	}
	var out []waiting
	spent := 0
	for _, t := range tails {
		if out, err = l.appendWaiting(ctx, out, tenant, t, &spent); err != nil {
			return nil, fmt.Errorf("end of audit trail: %w", err)
		}
	}
	return out, nil
}

func (l *Log) appendWaiting(ctx context.Context, out []waiting, tenant string, t tail, spent *int) ([]waiting, error) {
	rows, err := l.db.Query(ctx, selectTailBodies, tenant, t.writer, t.indexed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var first int64
		var body []byte
		if err := rows.Scan(&first, &body); err != nil {
			return nil, err
		}
		if *spent += len(body); *spent > scanBudget {
			return nil, fault.Unavailable(errTooMany, "the audit index is catching up; try again in a minute")
		}
		for i, f := range facts(body) {
			out = append(out, waiting{f, t.writer, first + int64(i)})
		}
	}
	return out, rows.Err()
}

// sums adds the sums of whole hours to out, and returns which entries of which writer they include. Both come from
// one statement, which sees one state.
func (l *Log) sums(ctx context.Context, tenant string, s scope, whole interval, out map[deed]tally) (map[string]progress, error) {
	query, args := selectSums, []any{tenant, whole.from, whole.to}
	switch {
	case s.path != "":
		query, args = selectPathSums, append(args, s.path)
	case s.identity != "":
		query, args = selectIdentitySums, append(args, s.identity)
	}
	rows, err := l.db.Query(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("sums of audit entries: %w", err)
	}
	defer func() { _ = rows.Close() }()
	summed := map[string]progress{}
	for rows.Next() {
		var isSum, ok int64
		var a, b, c string
		var t tally
		if err := rows.Scan(&isSum, &a, &b, &c, &ok, &t.events, &t.first, &t.last); err != nil {
			return nil, fmt.Errorf("sums of audit entries: %w", err)
		}
		if isSum == 0 {
			summed[a] = progress{step: b, indexed: t.events, target: t.first}
			continue
		}
		d := deed{a, b, c, ok == 1}
		out[d] = out[d].add(t)
	}
	return summed, rows.Err()
}
