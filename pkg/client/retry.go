package client

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Bounds of the pauses between attempts.
const (
	firstPause = 200 * time.Millisecond
	maxPause   = 5 * time.Second

	// maxObeyed is the longest Retry-After that is waited for; a longer one is the caller's to handle.
	maxObeyed = time.Minute
)

// again says whether r is to be sent once more after err, and after which pause.
func (c *Client) again(r request, err error, attempt int) (time.Duration, bool) {
	var failed *vaultapi.Error
	if !errors.As(err, &failed) || !r.repeat || attempt >= c.retries {
		return 0, false
	}
	if failed.Status != http.StatusTooManyRequests && failed.Status != http.StatusServiceUnavailable {
		return 0, false
	}
	if failed.RetryAfter > maxObeyed {
		return 0, false
	}
	pause := jittered(min(firstPause<<min(attempt, 10), maxPause))
	if failed.RetryAfter > 0 { // a little more, so that waiters do not return all at once
		pause = failed.RetryAfter + jittered(firstPause)
	}
	return pause, true
}

// jittered gives a random time between half of d and d.
func jittered(d time.Duration) time.Duration {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails: it ends the process instead
	half := uint64(d / 2)
	return d/2 + time.Duration(binary.LittleEndian.Uint64(b[:])%(half+1))
}

// sleep waits for d and tells whether it came to the end; it does not begin when ctx ends before that.
func sleep(ctx context.Context, d time.Duration) bool {
	if end, ok := ctx.Deadline(); ok && time.Until(end) <= d {
		return false
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
