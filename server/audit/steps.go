package audit

import (
	"encoding/binary"
	"errors"
	"slices"
	"strings"
)

// Microseconds of the spans that counts are kept by.
const (
	hourMicros = 3600 * 1_000_000
	dayMicros  = 24 * hourMicros
)

// segment is a run of blocks of one chain on its way into the index.
type segment struct {
	chainID
	blocks []segmentBlock
}

type segmentBlock struct {
	ref
	last  int64
	facts []fact
}

func (s segment) first() int64 { return s.blocks[0].first }
func (s segment) last() int64  { return s.blocks[len(s.blocks)-1].last }

// step is one row that a segment adds to a table. Steps are applied in the order of their keys, so that a
// segment can be applied by several transactions and resumed exactly where it stopped. Keys depend on the
// segment alone and are unique in it.
type step struct {
	table table
	key   string
	args  []any
}

// table says which rows a step writes.
type table byte

const (
	tableIndex    table = '1'
	tableActivity table = '2'
	tableReads    table = '3'
)

// Terms of the index (table audit_index).
const (
	termAll      = ""
	termPath     = "p:"
	termIdentity = "i:"
	termAction   = "a:"
)

type activityKey struct {
	identity string
	hour     int64
	path     string
	action   string
	ok       bool
}

type readsKey struct {
	path string
	day  int64
}

// tally is a number of events and when they were.
type tally struct{ events, first, last int64 }

func (t tally) add(o tally) tally {
	if t.events == 0 {
		return o
	}
	return tally{t.events + o.events, min(t.first, o.first), max(t.last, o.last)}
}

func (f fact) tally() tally { return tally{f.events, f.at, f.at} }

// valueRead tells whether f is a read of a secret's value that succeeded: what access counters count (contract OC-27).
func (f fact) valueRead() bool {
	return f.ok && f.path != "" && isValueRead(f.action)
}

func isValueRead(action string) bool { return action == "read" || action == "batch_read" }

func (f fact) activity() activityKey {
	return activityKey{f.identity, floorDiv(f.at, hourMicros), f.path, f.action, f.ok}
}

func floorDiv(a, b int64) int64 {
	q := a / b
	if a%b < 0 {
		q--
	}
	return q
}

// steps are the rows of a segment in order of their keys.
func (s segment) steps() []step {
	g := gathered{terms: map[term]*[]ref{}, activity: map[activityKey]*tally{}, reads: map[readsKey]*tally{}}
	for _, b := range s.blocks {
		g.ref(term{}, b.ref)
		g.last = fact{}
		for _, f := range b.facts {
			if f.events > 0 {
				g.add(b.ref, f)
			}
		}
	}
	out := make([]step, 0, len(g.terms)+len(g.activity)+len(g.reads))
	for t, refs := range g.terms {
		out = append(out, s.indexStep(t.kind+t.name, *refs))
	}
	for k, t := range g.activity {
		out = append(out, s.activityStep(k, *t))
	}
	for k, t := range g.reads {
		out = append(out, s.readsStep(k, *t))
	}
	slices.SortFunc(out, func(a, b step) int { return strings.Compare(a.key, b.key) })
	return out
}

// gathered is what a segment adds up to.
type gathered struct {
	terms    map[term]*[]ref
	activity map[activityKey]*tally
	reads    map[readsKey]*tally
	last     fact // of the same block: the second entry in a row that has a term need not look it up
}

type term struct{ kind, name string }

func (g *gathered) add(b ref, f fact) {
	if f.path != "" && f.path != g.last.path {
		g.ref(term{termPath, f.path}, b)
	}
	if f.identity != "" && f.identity != g.last.identity {
		g.ref(term{termIdentity, f.identity}, b)
	}
	if f.action != "" && f.action != g.last.action {
		g.ref(term{termAction, f.action}, b)
	}
	g.last = f
	sum(g.activity, f.activity(), f)
	if f.valueRead() {
		sum(g.reads, readsKey{f.path, floorDiv(f.at, dayMicros)}, f)
	}
}

// ref notes that block b holds t.
func (g *gathered) ref(t term, b ref) {
	refs := g.terms[t]
	if refs == nil {
		refs = new([]ref)
		g.terms[t] = refs
	}
	if n := len(*refs); n == 0 || (*refs)[n-1].first != b.first {
		*refs = append(*refs, b)
	}
}

func sum[K comparable](m map[K]*tally, k K, f fact) {
	t := m[k]
	if t == nil {
		t = new(tally)
		m[k] = t
	}
	*t = t.add(f.tally())
}

func (s segment) indexStep(term string, refs []ref) step {
	firstAt, lastAt := span(refs)
	return step{tableIndex, stepKey(tableIndex, term), []any{s.tenant, term, lastAt, s.writer, s.first(), firstAt, encodeRefs(refs)}}
}

func (s segment) activityStep(k activityKey, t tally) step {
	return step{tableActivity, k.stepKey(), []any{s.tenant, k.identity, k.hour, k.path, k.action, number(k.ok), t.events, t.first, t.last}}
}

func (k activityKey) stepKey() string {
	return stepKey(tableActivity, k.identity, encodeNumber(k.hour), k.path, k.action, encodeNumber(number(k.ok)))
}

func (s segment) readsStep(k readsKey, t tally) step {
	return step{tableReads, stepKey(tableReads, k.path, encodeNumber(k.day)), []any{s.tenant, k.path, k.day, t.events, t.last}}
}

func number(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// stepKey joins parts so that no two lists of parts give the same key, without NUL, which PostgreSQL refuses.
func stepKey(t table, parts ...string) string {
	size := 1
	for _, p := range parts {
		size += len(p) + 1
	}
	b := append(make([]byte, 0, size), byte(t))
	for _, p := range parts {
		if strings.IndexByte(p, 1) >= 0 || strings.IndexByte(p, 2) >= 0 {
			p = strings.NewReplacer("\x01", "\x02\x03", "\x02", "\x02\x02").Replace(p)
		}
		b = append(append(b, p...), '\x01')
	}
	return string(b)
}

// encodeNumber is any injective text of n; keys need an order, not this one.
func encodeNumber(n int64) string {
	var b [16]byte
	const digits = "0123456789abcdef"
	for i := range b {
		b[i] = digits[uint64(n)>>(60-4*i)&15]
	}
	return string(b[:])
}

func span(refs []ref) (first, last int64) {
	first, last = refs[0].firstAt, refs[0].lastAt
	for _, r := range refs {
		first, last = min(first, r.firstAt), max(last, r.lastAt)
	}
	return first, last
}

var errRefs = errors.New("list of blocks in the audit index is damaged")

// encodeRefs writes refs as differences: number to the one before, last time to the one before, own span.
func encodeRefs(refs []ref) []byte {
	b := make([]byte, 0, 6*len(refs))
	var prev ref
	for _, r := range refs {
		b = binary.AppendVarint(b, r.first-prev.first)
		b = binary.AppendVarint(b, r.lastAt-prev.lastAt)
		b = binary.AppendVarint(b, r.lastAt-r.firstAt)
		prev = r
	}
	return b
}

func decodeRefs(b []byte) ([]ref, error) {
	var refs []ref
	var prev ref
	for len(b) > 0 {
		var d [3]int64
		for i := range d {
			n, size := binary.Varint(b)
			if size <= 0 {
				return nil, errRefs
			}
			d[i], b = n, b[size:]
		}
		prev.first += d[0]
		prev.lastAt += d[1]
		prev.firstAt = prev.lastAt - d[2]
		refs = append(refs, prev)
	}
	return refs, nil
}
