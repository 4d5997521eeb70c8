package secrets

import (
	"container/list"
	"hash/maphash"
	"sync"
)

const (
	defaultCacheBytes = 64 << 20
	cacheShards       = 16
)

// cache keeps newest versions, sealed, where this process is the only writer: what is forgotten after a
// COMMIT and before its caller is answered is never stale. So whatever changes secrets or their versions goes
// through Service. Least recently read rows go first. The nil cache keeps nothing.
type cache struct {
	seed   maphash.Seed
	shards [cacheShards]shard
}

type cacheKey struct{ tenant, path string }

type cached struct {
	key cacheKey
	row *sealedRow
}

// shard holds some of the paths. changes counts what was forgotten, so that a row that was read before a
// change is not put after it.
type shard struct {
	mu      sync.Mutex
	rows    map[cacheKey]*list.Element
	used    list.List // of cached, most recently read first
	size    int64
	limit   int64
	changes uint64
}

func newCache(bytes int64) *cache {
	c := &cache{seed: maphash.MakeSeed()}
	for i := range c.shards {
		c.shards[i].rows = map[cacheKey]*list.Element{}
		c.shards[i].limit = bytes / cacheShards
	}
	return c
}

func (c *cache) shard(k cacheKey) *shard {
	return &c.shards[maphash.Comparable(c.seed, k)%cacheShards]
}

// get returns the row, or nil and a ticket to put it with.
func (c *cache) get(tenant, path string) (*sealedRow, uint64) {
	if c == nil {
		return nil, 0
	}
	k := cacheKey{tenant, path}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.rows[k]
	if e == nil {
		return nil, s.changes
	}
	s.used.MoveToFront(e)
	return e.Value.(cached).row, s.changes
}

// put keeps a row that was read after get gave the ticket, unless something was forgotten since.
func (c *cache) put(tenant, path string, row *sealedRow, ticket uint64) {
	if c == nil {
		return
	}
	k := cacheKey{tenant, path}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	if ticket != s.changes || s.rows[k] != nil || row.size() > s.limit {
		return
	}
	s.rows[k] = s.used.PushFront(cached{k, row})
	for s.size += row.size(); s.size > s.limit; {
		s.remove(s.used.Back())
	}
}

// forget is called after the COMMIT of a change and before its caller is answered.
func (c *cache) forget(tenant, path string) {
	if c == nil {
		return
	}
	k := cacheKey{tenant, path}
	s := c.shard(k)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.changes++
	if e := s.rows[k]; e != nil {
		s.remove(e)
	}
}

func (s *shard) remove(e *list.Element) {
	gone := s.used.Remove(e).(cached)
	delete(s.rows, gone.key)
	s.size -= gone.row.size()
}
