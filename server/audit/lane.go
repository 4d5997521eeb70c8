package audit

import (
	"bytes"
	"database/sql"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/server/store"
)

// lane is one writer's end of the chains. Only the goroutine that commits the lane's batches touches it.
type lane struct {
	writer string
	known  bool // its row in audit_writers is committed
	chains map[string]chain
	// pending is what the last batch wrote, until its commit is known. It stays if the batch was rolled back
	// or if its fate is unknown, and is settled before the next one builds on the chains.
	pending []*block
}

func (l *Log) lane(n int) *lane {
	l.mu.Lock()
	defer l.mu.Unlock()
	ln := l.lanes[n]
	if ln == nil {
		ln = &lane{writer: randomName("w_"), chains: map[string]chain{}}
		l.lanes[n] = ln
		l.writers[ln.writer] = true
	}
	return ln
}

// finish writes what a batch staged: one block per tenant. The heads move only after COMMIT, so that a batch
// that is rolled back and run again in pieces chains properly.
func (l *Log) finish(tx *store.Tx, values []any) error {
	if len(values) == 0 {
		return nil
	}
	ln := l.lane(tx.Lane())
	if err := l.settle(tx, ln); err != nil {
		return err
	}
	ln.pending = ln.build(values)
	for _, b := range ln.pending {
		if err := l.insert(tx, ln, b); err != nil {
			return err
		}
	}
	tx.AfterCommit(func() { l.committed(ln) })
	return nil
}

// build makes the blocks of a batch, in order of each tenant's first entry.
func (ln *lane) build(values []any) []*block {
	var order []string
	byTenant := make(map[string][]*line, 1)
	for _, v := range values {
		staged := v.([]line)
		for i := range staged {
			t := staged[i].tenant
			if byTenant[t] == nil {
				order = append(order, t)
				byTenant[t] = make([]*line, 0, len(values))
			}
			byTenant[t] = append(byTenant[t], &staged[i])
		}
	}
	blocks := make([]*block, len(order))
	for i, t := range order {
		blocks[i] = ln.end(t).extend(t, ln.writer, byTenant[t])
	}
	return blocks
}

func (ln *lane) end(tenant string) chain {
	c, ok := ln.chains[tenant]
	if !ok {
		c.head = genesis(tenant, ln.writer)
	}
	return c
}

func (l *Log) insert(tx *store.Tx, ln *lane, b *block) error {
	if !ln.known {
		if _, err := tx.Exec(insertWriter, ln.writer, l.owner, tx.Now().UnixMicro()); err != nil {
			return fmt.Errorf("register audit writer: %w", err)
		}
	}
	if b.first == 1 {
		if _, err := tx.Exec(insertChain, b.tenant, b.writer); err != nil {
			return fmt.Errorf("begin audit chain: %w", err)
		}
	}
	_, err := tx.Exec(insertBlock, b.tenant, b.writer, b.first, b.last, b.firstAt, b.lastAt, b.head[:], b.body)
	if err != nil {
		return fmt.Errorf("append to audit chain: %w", err)
	}
	return nil
}

// settle finds out what became of blocks whose commit was not reported: mostly rolled back, but a connection
// lost during COMMIT leaves it open.
func (l *Log) settle(tx *store.Tx, ln *lane) error {
	if len(ln.pending) == 0 {
		return nil
	}
	b := ln.pending[0] // the blocks of a batch share its fate
	var found []byte
	err := tx.QueryRow(selectBlockHash, b.tenant, b.writer, b.first).Scan(&found)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		ln.pending = nil
	case err != nil:
		return fmt.Errorf("settle audit chain: %w", err)
	case bytes.Equal(found, b.head[:]):
		l.committed(ln)
	default:
		l.renew(ln)
	}
	return nil
}

// renew starts new chains: an earlier batch turned out to be committed after it had been given up, and it is not
// known any more what the old chains end with. The indexer finds that out from the table.
func (l *Log) renew(ln *lane) {
	l.mu.Lock()
	defer l.mu.Unlock()
	*ln = lane{writer: randomName("w_"), chains: map[string]chain{}}
	l.writers[ln.writer] = true
}

// committed moves the heads past the pending blocks and hands these to the indexer and the checkpointer.
func (l *Log) committed(ln *lane) {
	for _, b := range ln.pending {
		ln.chains[b.tenant] = chain{seq: b.last, head: b.head}
	}
	ln.known = true
	l.publish(ln.pending)
	ln.pending = nil
}

func (l *Log) publish(blocks []*block) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, b := range blocks {
		id := chainID{b.tenant, b.writer}
		l.heads[id] = chain{seq: b.last, head: b.head}
		f := l.feeds[id]
		if f == nil {
			f = &feed{}
			l.feeds[id] = f
		}
		f.add(b)
	}
}
