package audit

import (
	"bytes"
	"container/heap"
	"context"
	"fmt"
	"math"

	"github.com/scailabs/scaivault/server/guard"
)

const (
	minRead = 4 // rows or blocks that are read at once, at first
	maxRead = 64
	// scanBudget is how many bytes of entries one query looks at. A query whose filter no term narrows gives what
	// it has found by then, and a cursor to go on from.
	scanBudget = 64 << 20
	// lastWriter sorts behind every writer's name (w_…), here and in the database.
	lastWriter = "x"
)

// position is where an entry stands in the order of answers: newest first, then by writer and number.
type position struct {
	at     int64
	writer string
	seq    int64
}

// before tells whether p comes before o in answers.
func (p position) before(o position) bool {
	if p.at != o.at {
		return p.at > o.at
	}
	if p.writer != o.writer {
		return p.writer > o.writer
	}
	return p.seq > o.seq
}

// found is an entry with its place.
type found struct {
	position
	entry guard.Entry
}

// search says which entries a scan visits: those of a tenant from..to (microseconds, inclusive) that come after
// `after` and match. term names the index rows to look at; match must imply it.
type search struct {
	tenant   string
	term     string
	from, to int64
	after    position // zero: from the newest
	needles  [][]byte // every matching line contains these
	match    func(*guard.Entry) bool
}

// newest is the latest time the search can still find.
func (s search) newest() int64 {
	if s.after == (position{}) {
		return s.to
	}
	return min(s.to, s.after.at)
}

// scan visits matching entries, newest first, until visit returns false. The position it returns is not zero if it
// stopped because of scanBudget: everything before it has been visited.
func (l *Log) scan(ctx context.Context, s search, visit func(found) bool) (position, error) {
	c := &scanner{log: l, search: s, seen: map[blockKey]bool{}, read: minRead, pageSize: minRead}
	if err := c.start(ctx); err != nil {
		return position{}, err
	}
	for len(c.queue) > 0 {
		next := c.queue[0]
		if next.kind != isEntry {
			if c.spent >= scanBudget {
				return position{at: next.at, writer: lastWriter, seq: math.MaxInt64}, nil
			}
			if err := c.expand(ctx); err != nil {
				return position{}, err
			}
			continue
		}
		heap.Pop(&c.queue)
		if !visit(*next.found) {
			return position{}, nil
		}
	}
	return position{}, ctx.Err()
}

// scanner merges index rows, blocks and entries by time. Something that has not been looked into stands in the queue
// under the latest time it can hold, and before entries of that time.
type scanner struct {
	log *Log
	search
	queue    queue
	seen     map[blockKey]bool // a block that is indexed while the scan runs is met twice
	page     indexPage
	pageSize int // rows to read at once: grows while the scan goes on, as does read
	read     int // blocks
	spent    int
}

type blockKey struct {
	writer string
	first  int64
}

// start queues the blocks that the index does not hold yet, and then the index: in this order an entry that is
// indexed meanwhile is met twice rather than not at all.
func (c *scanner) start(ctx context.Context) error {
	tails, err := c.log.tails(ctx, c.tenant)
	if err != nil {
		return err
	}
	for _, t := range tails {
		if err := c.addTail(ctx, t); err != nil {
			return fmt.Errorf("end of audit trail: %w", err)
		}
	}
	var span int64
	if err := c.log.db.QueryRow(ctx, selectMaxSpan, c.tenant).Scan(&span); err != nil {
		return fmt.Errorf("span of audit index: %w", err)
	}
	c.page = indexPage{at: saturating(c.newest(), span), writer: lastWriter, first: math.MaxInt64}
	heap.Push(&c.queue, item{at: c.page.at, kind: isPage})
	return nil
}

// tail is the end of a chain that the index does not hold.
type tail struct {
	writer  string
	indexed int64
}

func (l *Log) tails(ctx context.Context, tenant string) ([]tail, error) {
	rows, err := l.db.Query(ctx, selectTails, tenant)
	if err != nil {
		return nil, fmt.Errorf("ends of audit chains: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var out []tail
	for rows.Next() {
		var t tail
		if err := rows.Scan(&t.writer, &t.indexed); err != nil {
			return nil, fmt.Errorf("ends of audit chains: %w", err)
		}
		out = append(out, t)
	}
	return out, rows.Err()
}

func (c *scanner) addTail(ctx context.Context, t tail) error {
	rows, err := c.log.db.Query(ctx, selectTail, c.tenant, t.writer, t.indexed, c.from, c.newest())
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var r ref
		if err := rows.Scan(&r.first, &r.firstAt, &r.lastAt); err != nil {
			return err
		}
		c.add(t.writer, r)
	}
	return rows.Err()
}

func saturating(a, b int64) int64 {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}

func (c *scanner) add(writer string, r ref) {
	k := blockKey{writer, r.first}
	if r.lastAt < c.from || r.firstAt > c.newest() || c.seen[k] {
		return
	}
	c.seen[k] = true
	heap.Push(&c.queue, item{at: r.lastAt, kind: isBlock, block: k})
}

// expand looks into what stands first in the queue.
func (c *scanner) expand(ctx context.Context) error {
	switch c.queue[0].kind {
	case isPage:
		heap.Pop(&c.queue)
		return c.nextPage(ctx)
	case isRow:
		row := heap.Pop(&c.queue).(item)
		refs, err := decodeRefs(row.refs)
		for _, r := range refs {
			c.add(row.block.writer, r)
		}
		return err
	}
	byWriter := map[string][]int64{}
	for n := 0; n < c.read && len(c.queue) > 0 && c.queue[0].kind == isBlock; n++ {
		b := heap.Pop(&c.queue).(item).block
		byWriter[b.writer] = append(byWriter[b.writer], b.first)
	}
	c.read = min(2*c.read, maxRead)
	for writer, firsts := range byWriter {
		if err := c.readBlocks(ctx, writer, firsts); err != nil {
			return fmt.Errorf("read audit blocks: %w", err)
		}
	}
	return nil
}

// indexPage is where the next rows of the index are read from.
type indexPage struct {
	at     int64
	writer string
	first  int64
}

func (c *scanner) nextPage(ctx context.Context) error {
	p := &c.page
	rows, err := c.log.db.Query(ctx, selectIndex, c.tenant, c.term, c.from, c.newest(), p.at, p.writer, p.first, c.pageSize)
	if err != nil {
		return fmt.Errorf("read audit index: %w", err)
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var blocks []byte
		if err := rows.Scan(&p.at, &p.writer, &p.first, &blocks); err != nil {
			return fmt.Errorf("read audit index: %w", err)
		}
		heap.Push(&c.queue, item{at: p.at, kind: isRow, block: blockKey{writer: p.writer}, refs: blocks})
	}
	if n == c.pageSize {
		heap.Push(&c.queue, item{at: p.at, kind: isPage})
	}
	c.pageSize = min(2*c.pageSize, maxRead)
	return rows.Err()
}

func (c *scanner) readBlocks(ctx context.Context, writer string, firsts []int64) error {
	size := minRead
	for size < len(firsts) {
		size *= 2
	}
	args := []any{c.tenant, writer}
	for i := range size { // few texts of statements: the last number fills up
		args = append(args, firsts[min(i, len(firsts)-1)])
	}
	rows, err := c.log.db.Query(ctx, selectBodies+placeholders(3, size)+")", args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var first int64
		var body []byte
		if err := rows.Scan(&first, &body); err != nil {
			return err
		}
		c.spent += len(body)
		if err := c.addEntries(writer, first, body); err != nil {
			return err
		}
	}
	return rows.Err()
}

func (c *scanner) addEntries(writer string, first int64, body []byte) error {
	seq := first - 1
	return lines(body, func(line []byte) error {
		seq++
		at, err := lineTime(line)
		if err != nil {
			return err
		}
		p := position{at, writer, seq}
		if at < c.from || at > c.to || c.after != (position{}) && !c.after.before(p) || !containsAll(line, c.needles) {
			return nil
		}
		e, err := decodeLine(line)
		if err != nil {
			return err
		}
		e.Tenant = c.tenant
		if c.match == nil || c.match(&e) {
			heap.Push(&c.queue, item{at: at, kind: isEntry, found: &found{p, e}})
		}
		return nil
	})
}

func containsAll(line []byte, needles [][]byte) bool {
	for _, n := range needles {
		if !bytes.Contains(line, n) {
			return false
		}
	}
	return true
}

// item is something in the queue; kind says which of the fields it has.
type item struct {
	at    int64
	kind  itemKind
	block blockKey
	refs  []byte
	found *found
}

type itemKind int

const (
	isPage itemKind = iota
	isRow
	isBlock
	isEntry
)

// queue is a heap with the latest first.
type queue []item

func (q queue) Len() int      { return len(q) }
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *queue) Push(x any)   { *q = append(*q, x.(item)) }

func (q queue) Less(i, j int) bool {
	a, b := &q[i], &q[j]
	switch {
	case a.at != b.at:
		return a.at > b.at
	case a.kind != b.kind:
		return a.kind < b.kind
	case a.kind == isEntry:
		return a.found.before(b.found.position)
	}
	return false
}

func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	*q = old[:len(old)-1]
	return x
}
