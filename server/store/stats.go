package store

import (
	"sync/atomic"
	"time"
)

// Stats is a snapshot for health and metrics. Counts and times are since Open.
type Stats struct {
	ReadersMax   int           // most reader connections
	ReadersOpen  int           // reader connections at present
	ReadersInUse int           // reader connections that are reading
	ReaderWaits  int64         // reads that waited for a connection
	Queued       int           // writes that no lane has taken yet
	Batches      int64         // committed transactions of the lanes
	Calls        int64         // updates and appends in them
	LastBatch    int64         // calls of the last one
	Reruns       int64         // calls that ran again because their batch was poisoned
	Commits      int64         // COMMITs tried
	CommitTime   time.Duration // spent in all COMMITs
	LastCommit   time.Duration // spent in the last COMMIT
}

type counters struct {
	batches, calls, lastBatch, reruns atomic.Int64
	commits, commitTime, lastCommit   atomic.Int64
}

func (c *counters) committed(took time.Duration) {
	c.commits.Add(1)
	c.commitTime.Add(int64(took))
	c.lastCommit.Store(int64(took))
}

func (c *counters) batch(calls int) {
	c.batches.Add(1)
	c.calls.Add(int64(calls))
	c.lastBatch.Store(int64(calls))
}

// Stats tells how the database is doing.
func (db *DB) Stats() Stats {
	pool, c := db.readers.Stats(), &db.counters
	return Stats{
		ReadersMax: pool.MaxOpenConnections, ReadersOpen: pool.OpenConnections, ReadersInUse: pool.InUse,
		ReaderWaits: pool.WaitCount, Queued: db.queue.length(),
		Batches: c.batches.Load(), Calls: c.calls.Load(), LastBatch: c.lastBatch.Load(), Reruns: c.reruns.Load(),
		Commits: c.commits.Load(), CommitTime: time.Duration(c.commitTime.Load()),
		LastCommit: time.Duration(c.lastCommit.Load()),
	}
}
