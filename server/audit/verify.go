package audit

import (
	"bytes"
	"cmp"
	"context"
	"crypto/ed25519"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	verifyPage  = 256
	maxProblems = 100 // that Verify names; more of them say no more
)

// signedEnd is the last state of a chain that one signer vouched for.
type signedEnd struct {
	signer string
	chain
}

// verification gathers what Verify finds.
type verification struct {
	log      *Log
	tenant   string
	key      *signingKey
	ends     map[string][]signedEnd // by writer
	last     int64
	out      vaultapi.AuditVerification
	problems int
}

func (v *verification) problem(format string, args ...any) {
	if v.problems++; v.problems <= maxProblems {
		v.out.Problems = append(v.out.Problems, fmt.Sprintf(format, args...))
	}
}

// Verify recomputes every chain of a tenant from its entries, and compares it with what every checkpoint says. It
// reads the whole trail. Entries after the last checkpoint are counted as unsigned: only of these could some
// have been cut off unseen.
func (l *Log) Verify(ctx context.Context, tenant string) (vaultapi.AuditVerification, error) {
	key, err := l.keys.load(ctx)
	if err != nil {
		return vaultapi.AuditVerification{}, err
	}
	v := &verification{log: l, tenant: tenant, key: key, ends: map[string][]signedEnd{}}
	v.out = vaultapi.AuditVerification{PublicKey: base64.StdEncoding.EncodeToString(key.public), Problems: []string{}}
	if err := v.checkpoints(ctx); err != nil {
		return vaultapi.AuditVerification{}, fmt.Errorf("read audit checkpoints: %w", err)
	}
	if err := v.chains(ctx); err != nil {
		return vaultapi.AuditVerification{}, fmt.Errorf("read audit chains: %w", err)
	}
	v.out.Valid = v.problems == 0
	if v.last > 0 {
		v.out.Checkpoint = instant(v.last)
	}
	return v.out, nil
}

// links follows the checkpoints from the newest to the first, each of which names the one before it.
type links struct {
	met   map[string]bool
	named map[string]bool // by one that holds, and not met yet
}

// checkpoints reads all checkpoints, newest first. One that another names as the one before it needs no look at its
// own signature: its id is the hash of its body.
func (v *verification) checkpoints(ctx context.Context) error {
	l := links{met: map[string]bool{}, named: map[string]bool{}}
	at, id := int64(math.MaxInt64), ""
	for n := verifyPage; n == verifyPage; {
		var err error
		if n, err = v.checkpointPage(ctx, &l, &at, &id); err != nil {
			return err
		}
	}
	for _, id := range slices.Sorted(maps.Keys(l.named)) {
		v.problem("checkpoint %s is missing: a later one names it", id)
	}
	return nil
}

func (v *verification) checkpointPage(ctx context.Context, l *links, at *int64, id *string) (int, error) {
	rows, err := v.log.db.Query(ctx, selectCheckpoints, *at, *id, verifyPage)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var body, keyID string
		var signature []byte
		if err := rows.Scan(id, at, &body, &keyID, &signature); err != nil {
			return 0, err
		}
		st, ok := v.checkpoint(*id, []byte(body), keyID, signature, l.named[*id])
		l.met[*id] = true
		delete(l.named, *id)
		if ok && st.Prev != "" && !l.met[st.Prev] {
			l.named[st.Prev] = true
		}
	}
	return n, rows.Err()
}

func (v *verification) checkpoint(id string, body []byte, keyID string, signature []byte, trusted bool) (statement, bool) {
	var st statement
	switch {
	case checkpointID(body) != id:
		v.problem("checkpoint %s was changed", id)
		return st, false
	case keyID != v.key.id:
		v.problem("checkpoint %s names an unknown key %q", id, keyID)
		return st, false
	case !trusted && !ed25519.Verify(v.key.public, body, signature):
		v.problem("checkpoint %s has a wrong signature", id)
		return st, false
	}
	if err := json.Unmarshal(body, &st); err != nil || st.Format != statementFormat {
		v.problem("checkpoint %s cannot be read", id)
		return st, false
	}
	v.last = max(v.last, st.At)
	for _, h := range st.Heads {
		if h.Tenant == v.tenant {
			v.signed(id, st.Signer, h)
		}
	}
	return st, true
}

// signed keeps the last end per chain and signer: a signer sees its chains only grow, so that its last word includes
// those before.
func (v *verification) signed(id, signer string, h signedHead) {
	end := signedEnd{signer: signer, chain: chain{seq: h.Seq}}
	if !parseHash(&end.head, h.Hash) {
		v.problem("checkpoint %s cannot be read", id)
		return
	}
	ends := v.ends[h.Writer]
	for i := range ends {
		if ends[i].signer == signer {
			if ends[i].seq < h.Seq {
				ends[i] = end
			}
			return
		}
	}
	v.ends[h.Writer] = append(ends, end)
}

// chains verifies the chains that have blocks, that are registered, or that were signed.
func (v *verification) chains(ctx context.Context) error {
	registered, err := v.registered(ctx)
	if err != nil {
		return err
	}
	writers := maps.Clone(registered)
	for w := range v.ends {
		writers[w] = true
	}
	for after := ""; ; {
		var w string
		err := v.log.db.QueryRow(ctx, selectNextWriter, v.tenant, after).Scan(&w)
		if errors.Is(err, sql.ErrNoRows) {
			break
		}
		if err != nil {
			return err
		}
		if !registered[w] {
			v.problem("chain %s is not registered any more: queries do not see its end", w)
		}
		writers[w], after = true, w
	}
	for _, w := range slices.Sorted(maps.Keys(writers)) {
		if err := v.chain(ctx, w); err != nil {
			return err
		}
	}
	return nil
}

func (v *verification) registered(ctx context.Context) (map[string]bool, error) {
	rows, err := v.log.db.Query(ctx, `SELECT writer FROM audit_chains WHERE tenant = $1`, v.tenant)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }()
	out := map[string]bool{}
	for rows.Next() {
		var w string
		if err := rows.Scan(&w); err != nil {
			return nil, err
		}
		out[w] = true
	}
	return out, rows.Err()
}

// chain recomputes one chain, page by page.
func (v *verification) chain(ctx context.Context, writer string) error {
	v.out.Chains++
	c := &recount{v: v, writer: writer, chain: chain{head: genesis(v.tenant, writer)}}
	c.ends = slices.SortedFunc(slices.Values(v.ends[writer]), func(a, b signedEnd) int { return cmp.Compare(a.seq, b.seq) })
	for after := int64(0); ; {
		n, err := c.page(ctx, &after)
		if err != nil {
			return err
		}
		if n < verifyPage {
			break
		}
	}
	for _, e := range c.ends {
		v.problem("chain %s ends at entry %d, but a checkpoint by %s covers it up to %d: its end was cut off", writer, c.seq, e.signer, e.seq)
	}
	v.out.Entries += c.count
	v.out.Unsigned += c.seq - min(c.covered, c.seq)
	return nil
}

// recount is a chain as its entries say it is.
type recount struct {
	v      *verification
	writer string
	chain
	ends    []signedEnd // not reached yet, in order
	covered int64       // the last entry a checkpoint covers
	count   int64
	scratch []byte
}

func (c *recount) page(ctx context.Context, after *int64) (int, error) {
	rows, err := c.v.log.db.Query(ctx, selectChainBlocks, c.v.tenant, c.writer, *after, verifyPage)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	n := 0
	for ; rows.Next(); n++ {
		var b block
		var head []byte
		if err := rows.Scan(&b.first, &b.last, &b.firstAt, &b.lastAt, &head, &b.body); err != nil {
			return 0, err
		}
		*after = b.first
		c.block(&b, head)
	}
	return n, rows.Err()
}

// block takes the next block into the chain. After a break it goes on from what the block says, so that one break is
// one problem.
func (c *recount) block(b *block, stored []byte) {
	if b.first != c.seq+1 {
		c.v.problem("chain %s: entries %d to %d are missing", c.writer, c.seq+1, b.first-1)
		c.seq = b.first - 1
	}
	seen := ref{firstAt: math.MaxInt64, lastAt: math.MinInt64}
	n := int64(0)
	err := lines(b.body, func(line []byte) error {
		n++
		e, err := decodeLine(line)
		seen.firstAt, seen.lastAt = min(seen.firstAt, e.Time.UnixMicro()), max(seen.lastAt, e.Time.UnixMicro())
		c.head, c.scratch = c.head.link(c.scratch, line)
		return err
	})
	switch {
	case err != nil:
		c.v.problem("chain %s: an entry from %d to %d cannot be read", c.writer, b.first, b.last)
	case n != b.last-b.first+1 || seen.firstAt != b.firstAt || seen.lastAt != b.lastAt:
		c.v.problem("chain %s: block %d to %d does not hold what its row says", c.writer, b.first, b.last)
	}
	c.count += n
	c.seq = b.last
	c.compare(stored)
}

// compare holds the recomputed state against the stored one and against what was signed.
func (c *recount) compare(stored []byte) {
	for len(c.ends) > 0 && c.ends[0].seq <= c.seq {
		e := c.ends[0]
		c.ends, c.covered = c.ends[1:], e.seq
		if e.chain != c.chain {
			c.v.problem("chain %s: the entries up to %d are not those that were signed by %s", c.writer, e.seq, e.signer)
		}
	}
	if !bytes.Equal(stored, c.head[:]) {
		c.v.problem("chain %s: the hash after entry %d is wrong: an entry was changed, moved, added or removed", c.writer, c.seq)
		copy(c.head[:], stored)
	}
}
