package authn

import (
	"sync"

	"k8s.io/utils/lru"
)

// maxKnownTokens bounds the memory of tokens; a token takes about half a kilobyte.
const maxKnownTokens = 8192

// tokenCache remembers tokens by digest. A revocation drops its token after COMMIT and starts a new generation,
// so that a row read before the revocation is not remembered after it. The nil cache remembers nothing.
type tokenCache struct {
	mu     sync.Mutex
	gen    uint64
	tokens *lru.Cache
}

func newTokenCache(size int) *tokenCache { return &tokenCache{tokens: lru.New(size)} }

func (c *tokenCache) get(sum digest) (*token, bool) {
	if c == nil {
		return nil, false
	}
	v, ok := c.tokens.Get(sum)
	if !ok {
		return nil, false
	}
	t, ok := v.(*token)
	return t, ok
}

func (c *tokenCache) generation() uint64 {
	if c == nil {
		return 0
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gen
}

// put remembers t if nothing was revoked since the generation given.
func (c *tokenCache) put(sum digest, t *token, gen uint64) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.gen == gen {
		c.tokens.Add(sum, t)
	}
}

func (c *tokenCache) drop(sum []byte) {
	if c == nil || len(sum) != len(digest{}) {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.gen++
	c.tokens.Remove(digest(sum))
}
