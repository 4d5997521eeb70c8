package authn

import (
	"math"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/lru"

	"github.com/scailabs/scaivault/server/fault"
)

// maxSources bounds how many sources of failures are remembered.
const maxSources = 16384

// maxReviews bounds the reviews of one cluster that are under way at once.
const maxReviews = 64

// FailureLimits say how many exchanges may fail per minute (contract section 25).
type FailureLimits struct {
	PerSource int // 0: 60
	PerIssuer int // 0: 600
}

// failures counts failed exchanges. A success costs nothing, so that an operator may exchange for hundreds of
// accounts at once. Where an issuer's budget is spent, only sources that failed lately are held back: otherwise
// anybody could lock a whole cluster out by sending garbage in its name.
type failures struct {
	mu        sync.Mutex
	perSource int
	perIssuer int
	sources   *lru.Cache // netip.Prefix → *rate.Limiter
	issuers   *lru.Cache // cluster → *rate.Limiter
}

func newFailures(l FailureLimits) *failures {
	if l.PerSource == 0 {
		l.PerSource = 60
	}
	if l.PerIssuer == 0 {
		l.PerIssuer = 600
	}
	return &failures{perSource: l.PerSource, perIssuer: l.PerIssuer, sources: lru.New(maxSources), issuers: lru.New(maxSources)}
}

func perMinute(n int) *rate.Limiter { return rate.NewLimiter(rate.Limit(float64(n)/60), n) }

func (f *failures) bucket(of *lru.Cache, key any, n int) *rate.Limiter {
	if v, ok := of.Get(key); ok {
		if l, ok := v.(*rate.Limiter); ok {
			return l
		}
	}
	l := perMinute(n)
	of.Add(key, l)
	return l
}

// sourceAllowed tells whether a source may try at all.
func (f *failures) sourceAllowed(ip netip.Addr, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.bucket(f.sources, sourceKey(ip), f.perSource)
	if l.TokensAt(now) >= 1 {
		return nil
	}
	return limited(l, now, "your address")
}

// issuerAllowed tells whether a source may have a token of a cluster reviewed.
func (f *failures) issuerAllowed(ip netip.Addr, cluster string, now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	l := f.bucket(f.issuers, cluster, f.perIssuer)
	fresh := f.bucket(f.sources, sourceKey(ip), f.perSource).TokensAt(now) > float64(f.perSource)-1
	if fresh || l.TokensAt(now) >= 1 {
		return nil
	}
	return limited(l, now, "the token's issuer")
}

// failed counts one failure; cluster is "" when it is not known.
func (f *failures) failed(ip netip.Addr, cluster string, now time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bucket(f.sources, sourceKey(ip), f.perSource).AllowN(now, 1)
	if cluster != "" {
		f.bucket(f.issuers, cluster, f.perIssuer).AllowN(now, 1)
	}
}

func limited(l *rate.Limiter, now time.Time, whose string) error {
	wait := int64(math.Ceil((1 - l.TokensAt(now)) / float64(l.Limit())))
	return fault.New(fault.KindLimited, fault.CodeRateLimited, "too many failed exchanges from %s: wait %d s", whose, max(wait, 1)).
		With("retry_after", max(wait, 1)).With("category", "auth_exchange_failed")
}

// sourceKey is the address, or for IPv6 the /64 that one host can move in freely.
func sourceKey(ip netip.Addr) netip.Prefix {
	ip = ip.Unmap()
	bits := ip.BitLen()
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.WithZone("").Prefix(bits) // the zero address has the zero prefix: one bucket for the unknown
	return p
}
