package audit

import (
	"context"
	"crypto/rand"
	"encoding/base32"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// KeyBox wraps the key that signs checkpoints, so that the database alone does not give it away.
type KeyBox interface {
	Seal(ctx context.Context, plain []byte) ([]byte, error)
	Open(ctx context.Context, sealed []byte) ([]byte, error)
}

// Options configure a Log. Keys is required; the rest has defaults.
type Options struct {
	Keys KeyBox
	Now  func() time.Time // default time.Now
	Log  *slog.Logger     // default discards
	Emit func(Checkpoint) // receives every checkpoint after it is durable, to be kept outside the database
}

// Log is the audit trail. It implements guard.Recorder.
type Log struct {
	db    *store.DB
	stage *store.Stage
	now   func() time.Time
	slog  *slog.Logger
	keys  *keyring
	emit  func(Checkpoint)
	owner string // this process start

	upserts map[table]upsert
	chunk   int          // rows per transaction of the indexer
	written atomic.Int64 // rows by the indexer
	rested  time.Time    // when the indexer may run again; Run's alone

	indexing sync.Mutex // one run of the indexer at a time
	tender   *writers   // guarded by indexing
	signer   checkpointer

	mu      sync.Mutex
	lanes   map[int]*lane
	feeds   map[chainID]*feed
	heads   map[chainID]chain // committed and not yet in a checkpoint
	writers map[string]bool   // of this process start
}

// chainID names a chain.
type chainID struct{ tenant, writer string }

// New registers the trail with db; call it before anything is written.
func New(db *store.DB, o Options) *Log {
	l := &Log{
		db: db, now: o.Now, slog: o.Log, emit: o.Emit, owner: randomName("p_"), chunk: chunkSteps, upserts: newUpserts(),
		lanes: map[int]*lane{}, feeds: map[chainID]*feed{}, heads: map[chainID]chain{}, writers: map[string]bool{},
	}
	if l.now == nil {
		l.now = time.Now
	}
	if l.slog == nil {
		l.slog = slog.New(slog.DiscardHandler)
	}
	if l.emit == nil {
		l.emit = func(Checkpoint) {}
	}
	l.keys = &keyring{db: db, box: o.Keys}
	l.tender = newWriters(l)
	l.stage = db.NewStage("audit", l.finish)
	return l
}

// Append returns once every entry is durable. Entries without a time get the present one.
func (l *Log) Append(ctx context.Context, entries ...guard.Entry) error {
	if len(entries) == 0 {
		return nil
	}
	return l.db.Append(ctx, l.stage, l.encode(entries))
}

// Stage makes entries part of tx: they are durable if and only if it commits.
func (l *Log) Stage(tx *store.Tx, entries ...guard.Entry) {
	if len(entries) > 0 {
		tx.Stage(l.stage, l.encode(entries))
	}
}

func (l *Log) encode(entries []guard.Entry) []line {
	out := make([]line, len(entries))
	for i, e := range entries {
		if e.Time.IsZero() {
			e.Time = l.now()
		}
		out[i] = encode(e)
	}
	return out
}

// Lag is the number of durable entries of the chains this process looks after that the index does not hold yet.
// Queries find them all the same.
func (l *Log) Lag() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	var n int64
	for _, f := range l.feeds {
		n += f.head - f.indexed
	}
	return n
}

// randomName is prefix and 80 random bits.
func randomName(prefix string) string {
	var b [10]byte
	_, _ = rand.Read(b[:]) // never fails
	return prefix + strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
}
