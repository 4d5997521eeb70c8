package audit

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/scailabs/scaivault/server/store"
)

// Checkpoint is a signed statement about the ends of chains. Each names the one before it, so that whoever
// holds one of them can prove that none before it was dropped.
type Checkpoint struct {
	ID        string // SHA-256 of Body, hexadecimal
	At        time.Time
	Body      []byte // JSON: what is signed
	KeyID     string
	PublicKey ed25519.PublicKey
	Signature []byte
}

// statement is the body of a checkpoint.
type statement struct {
	Format int          `json:"format"`
	At     int64        `json:"at"` // microseconds
	Signer string       `json:"signer"`
	Prev   string       `json:"prev"` // id of the checkpoint before this one, "" for the first of all
	Heads  []signedHead `json:"heads"`
}

type signedHead struct {
	Tenant string `json:"tenant"`
	Writer string `json:"writer"`
	Seq    int64  `json:"seq"`
	Hash   string `json:"hash"`
}

const statementFormat = 1

// checkpointer signs what was appended. Its first checkpoint and one in each hour cover all chains there are,
// those of writers that are gone too; the others cover the chains that moved.
type checkpointer struct {
	mu      sync.Mutex
	prev    string
	at      int64 // of prev; its order is theirs, whatever the clock does
	chained bool  // prev is known
	fullDue time.Time
}

const fullEvery = time.Hour

// sign makes a checkpoint if any chain moved since the last one.
func (l *Log) sign(ctx context.Context) error {
	c := &l.signer
	c.mu.Lock()
	defer c.mu.Unlock()
	now := l.now()
	full := !now.Before(c.fullDue)
	heads := l.unsigned()
	if len(heads) == 0 && c.chained {
		return nil
	}
	key, err := l.keys.load(ctx)
	if err != nil {
		return err
	}
	if !c.chained {
		if c.prev, c.at, err = l.lastCheckpoint(ctx); err != nil {
			return err
		}
		c.chained = true
	}
	if full {
		if err := l.addHeads(ctx, heads, selectHeads); err != nil || len(heads) == 0 {
			return err
		}
	}
	at := max(now.UnixMicro(), c.at+1)
	cp, err := key.checkpoint(statement{Format: statementFormat, At: at, Signer: l.owner, Prev: c.prev, Heads: sortedHeads(heads)})
	if err != nil {
		return err
	}
	if err := l.save(ctx, cp); err != nil {
		return err
	}
	c.prev, c.at = cp.ID, at
	if full {
		c.fullDue = now.Add(fullEvery)
	}
	l.signed(heads)
	l.emit(cp)
	return nil
}

// lastCheckpoint is the id and the time of the one that this process's first checkpoint follows, "" if there is none.
func (l *Log) lastCheckpoint(ctx context.Context) (id string, at int64, err error) {
	err = l.db.QueryRow(ctx, `SELECT id, at FROM audit_checkpoints ORDER BY at DESC, id DESC LIMIT 1`).Scan(&id, &at)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return "", 0, fmt.Errorf("last audit checkpoint: %w", err)
	}
	return id, at, nil
}

func sortedHeads(heads map[chainID]chain) []signedHead {
	out := make([]signedHead, 0, len(heads))
	for id, c := range heads {
		out = append(out, signedHead{Tenant: id.tenant, Writer: id.writer, Seq: c.seq, Hash: c.head.String()})
	}
	slices.SortFunc(out, func(a, b signedHead) int {
		return strings.Compare(a.Tenant+"\n"+a.Writer, b.Tenant+"\n"+b.Writer)
	})
	return out
}

func (k *signingKey) checkpoint(s statement) (Checkpoint, error) {
	body, err := json.Marshal(s)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("audit checkpoint: %w", err)
	}
	return Checkpoint{
		ID: checkpointID(body), At: time.UnixMicro(s.At).UTC(), Body: body,
		KeyID: k.id, PublicKey: k.public, Signature: ed25519.Sign(k.private, body),
	}, nil
}

func checkpointID(body []byte) string {
	sum := sha256.Sum256(body)
	return hex.EncodeToString(sum[:])
}

func (l *Log) save(ctx context.Context, cp Checkpoint) error {
	err := l.db.Update(ctx, func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO audit_checkpoints (id, at, body, key_id, signature) VALUES ($1, $2, $3, $4, $5)`,
			cp.ID, cp.At.UnixMicro(), string(cp.Body), cp.KeyID, cp.Signature)
		return err
	})
	if err != nil {
		return fmt.Errorf("save audit checkpoint: %w", err)
	}
	return nil
}

func (l *Log) unsigned() map[chainID]chain {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.heads)
}

// signed forgets heads that a checkpoint covers, unless their chains have moved on.
func (l *Log) signed(heads map[chainID]chain) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range heads {
		if l.heads[id] == c {
			delete(l.heads, id)
		}
	}
}

// addHeads adds the ends of chains that the table shows to heads, where they have none.
func (l *Log) addHeads(ctx context.Context, heads map[chainID]chain, query string, args ...any) error {
	rows, err := l.db.Query(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("ends of audit chains: %w", err)
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var id chainID
		var c chain
		var head []byte
		if err := rows.Scan(&id.tenant, &id.writer, &c.seq, &head); err != nil {
			return fmt.Errorf("ends of audit chains: %w", err)
		}
		copy(c.head[:], head)
		if _, ok := heads[id]; !ok {
			heads[id] = c
		}
	}
	return rows.Err()
}
