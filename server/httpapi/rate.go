package httpapi

import (
	"hash/maphash"
	"sync"
	"time"
)

const (
	rateShards      = 64
	bucketsPerShard = 1024 // 65 536 buckets of some 150 bytes: what a flood of sources can cost
)

// bucketKey is whose calls are counted, and which.
type bucketKey struct {
	tenant, id string
	category   category
}

// bucket refills continuously and holds at most a minute's calls (contract OC-29). Its whole state is the time
// at which it is full again: each call moves that time on by the time one call takes to refill.
type bucket struct {
	key        bucketKey
	fullAt     int64 // Unix nanoseconds
	prev, next *bucket
}

// verdict is what the rate limit headers say.
type verdict struct {
	category   category
	ok         bool
	remaining  int64
	reset      int64         // Unix seconds at which the bucket is full again
	retryAfter time.Duration // of a refused call
}

// limiter counts calls. The least recently used bucket makes room for a new one.
type limiter struct {
	seed   maphash.Seed
	step   [categories]int64 // nanoseconds that one call takes to refill
	shards [rateShards]rateShard
}

type rateShard struct {
	mu      sync.Mutex
	buckets map[bucketKey]*bucket
	ring    bucket // ring.next is the most, ring.prev the least recently used
}

func newLimiter(rows [categories]limitRow) *limiter {
	l := &limiter{seed: maphash.MakeSeed()}
	for c := rateNone + 1; c < categories; c++ {
		l.step[c] = int64(time.Minute) / int64(rows[c].perMinute)
	}
	for i := range l.shards {
		s := &l.shards[i]
		s.buckets = make(map[bucketKey]*bucket)
		s.ring.prev, s.ring.next = &s.ring, &s.ring
	}
	return l
}

// take counts n calls if the bucket holds them. n = 0 only looks whether there is one; n < 0 gives back.
func (l *limiter) take(key bucketKey, n int64, now time.Time) verdict {
	s := &l.shards[maphash.String(l.seed, key.id)%rateShards]
	at, step := now.UnixNano(), l.step[key.category]
	s.mu.Lock()
	b := s.use(key)
	if b.fullAt > at+int64(time.Minute) { // only a clock that was set back can bring that about
		b.fullAt = at
	}
	fullAt := max(b.fullAt, at)
	full := fullAt + max(n, 1)*step // after the call, or after one that is only looked for
	v := verdict{category: key.category, ok: n < 0 || full-at <= int64(time.Minute)}
	if v.ok {
		fullAt += n * step
		b.fullAt = fullAt
	} else {
		v.retryAfter = time.Duration(full - at - int64(time.Minute))
	}
	s.mu.Unlock()
	v.remaining = max(0, (int64(time.Minute)-max(0, fullAt-at))/step)
	v.reset = (max(fullAt, at) + int64(time.Second) - 1) / int64(time.Second)
	return v
}

// use finds the bucket or makes it, and marks it as used.
func (s *rateShard) use(key bucketKey) *bucket {
	b := s.buckets[key]
	switch {
	case b != nil:
		b.prev.next, b.next.prev = b.next, b.prev
	case len(s.buckets) >= bucketsPerShard:
		b = s.ring.prev
		b.prev.next, b.next.prev = b.next, b.prev
		delete(s.buckets, b.key)
		*b = bucket{key: key}
		s.buckets[key] = b
	default:
		b = &bucket{key: key}
		s.buckets[key] = b
	}
	b.prev, b.next = &s.ring, s.ring.next
	b.prev.next, b.next.prev = b, b
	return b
}
