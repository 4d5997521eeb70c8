package audit

import (
	"math"

	"github.com/scailabs/scaivault/server/guard"
)

// line is one entry, encoded where its caller runs so that the writer only copies it.
type line struct {
	tenant string
	text   []byte // with its line end
	fact   fact
}

// fact is what the index and the summaries need of an entry.
type fact struct {
	at                     int64 // microseconds
	identity, path, action string
	ok                     bool
	events                 int64 // 1, or the count of a folded entry
}

// block is what one commit adds to one chain.
type block struct {
	tenant, writer string
	last           int64 // number of its last entry in the chain
	ref
	head  hash
	body  []byte
	facts []fact
}

// ref says where a block is and which time it spans.
type ref struct {
	first           int64 // number of its first entry in the chain, from 1
	firstAt, lastAt int64 // microseconds, both inclusive
}

func encode(e guard.Entry) line {
	e = cleaned(e)
	text := make([]byte, 0, 224+len(e.Path)+len(e.UserAgent)+len(e.IdentityID)+len(e.RequestID))
	text = append(appendLine(text, &e), '\n')
	return line{tenant: e.Tenant, text: text, fact: factOf(&e)}
}

func factOf(e *guard.Entry) fact {
	return fact{
		at: e.Time.UnixMicro(), identity: e.IdentityID, path: e.Path, action: e.Action,
		ok: e.Success, events: max(e.Count, 1),
	}
}

// chain is the end of one tenant's chain of one writer, as committed.
type chain struct {
	seq  int64
	head hash
}

// extend makes the block that carries lines on from c. All lines are of the block's tenant.
func (c chain) extend(tenant, writer string, ls []*line) *block {
	b := &block{
		tenant: tenant, writer: writer, last: c.seq + int64(len(ls)), head: c.head,
		ref: ref{first: c.seq + 1, firstAt: math.MaxInt64, lastAt: math.MinInt64}, facts: make([]fact, 0, len(ls)),
	}
	size := 0
	for _, l := range ls {
		size += len(l.text)
	}
	b.body = make([]byte, 0, size)
	var scratch []byte
	for _, l := range ls {
		b.body = append(b.body, l.text...)
		b.head, scratch = b.head.link(scratch, l.text[:len(l.text)-1])
		b.facts = append(b.facts, l.fact)
		b.firstAt, b.lastAt = min(b.firstAt, l.fact.at), max(b.lastAt, l.fact.at)
	}
	return b
}
