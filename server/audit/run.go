package audit

import (
	"context"
	"errors"
	"sync"
	"time"
)

const (
	indexEvery  = time.Second // hot paths repeat: fewer, larger runs cost less (docs/adr/0002-audit-blocks.md)
	signEvery   = time.Second
	tendEvery   = 15 * time.Second
	flushWithin = 10 * time.Second

	// A run that wrote more than this many rows per second of its interval is followed by a longer interval, in
	// which paths and identities repeat and cost fewer rows per entry. Only reads that are spread over tens of
	// thousands of paths come to that.
	rowsPerSecond = 15000
	longestRest   = 5 * time.Second
)

// Run indexes and signs until ctx ends, then once more, so that after an orderly end no entry is unsigned.
// Failures are logged and tried again; only the last round's is returned. Nothing depends on Run for an entry
// to be durable or visible.
func (l *Log) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() {
		l.every(ctx, tendEvery, "audit writers cannot be looked after", l.tend)
	})
	wg.Go(func() {
		l.every(ctx, indexEvery, "audit index cannot be brought up to date", l.indexWhenDue)
	})
	wg.Go(func() {
		l.every(ctx, signEvery, "audit trail cannot be signed", l.sign)
	})
	wg.Wait()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	return l.Flush(last)
}

func (l *Log) indexWhenDue(ctx context.Context) error {
	if begun := l.now(); !begun.Before(l.rested) {
		before := l.written.Load()
		defer func() { l.rested = begun.Add(rest(l.written.Load() - before)) }()
		return l.index(ctx)
	}
	return nil
}

// rest is how long after the beginning of a run that wrote rows the next one may begin.
func rest(rows int64) time.Duration {
	const most = rowsPerSecond * int64(longestRest/time.Second)
	return time.Duration(min(rows, most)) * time.Second / rowsPerSecond
}

// Flush brings the index up to date and signs what was appended, without waiting for Run to do so.
func (l *Log) Flush(ctx context.Context) error {
	return errors.Join(l.index(ctx), l.sign(ctx))
}

func (l *Log) tend(ctx context.Context) error {
	l.indexing.Lock()
	defer l.indexing.Unlock()
	return l.tender.tend(ctx)
}

// every runs do at once and then at each tick. It logs the first of several failures in a row and the recovery.
func (l *Log) every(ctx context.Context, d time.Duration, failure string, do func(context.Context) error) {
	ticker := time.NewTicker(d)
	defer ticker.Stop()
	failed := false
	for ctx.Err() == nil {
		switch err := do(ctx); {
		case err == nil && failed:
			l.slog.Info("recovered: " + failure)
			failed = false
		case err != nil && !failed && ctx.Err() == nil:
			l.slog.Error(failure, "error", err)
			failed = true
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		}
	}
}
