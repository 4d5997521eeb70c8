package certificates

import (
	"crypto/x509"
	"slices"
	"time"
)

const (
	authorityLife = 10 * 365 * 24 * time.Hour
	servingLife   = 365 * 24 * time.Hour

	// backdated covers clocks that are a little behind.
	backdated = 5 * time.Minute
	// overlap is how long a new authority is known before it signs.
	overlap = 7 * 24 * time.Hour
	// hurry is what an authority has left when it makes room for the next one at once.
	hurry = 24 * time.Hour
)

// aging tells whether a certificate is in the last third of its life, or past it.
func aging(now time.Time, c *x509.Certificate) bool {
	life := c.NotAfter.Sub(c.NotBefore)
	return now.After(c.NotAfter.Add(-life / 3))
}

// turn is the next step in the life of an authority.
type turn int

const (
	stay    turn = iota
	stage        // make the next one and let it be known
	promote      // let the next one sign
	prune        // forget one that has ended
)

// turnOf decides what to do about an authority; next is nil while there is none.
func turnOf(now time.Time, current, next *x509.Certificate, trusted []*x509.Certificate) turn {
	switch {
	case next == nil && aging(now, current):
		return stage
	case next != nil && (now.Sub(next.NotBefore) >= overlap || now.Add(hurry).After(current.NotAfter)):
		return promote
	case slices.ContainsFunc(trusted, func(c *x509.Certificate) bool { return now.After(c.NotAfter) && !c.Equal(current) }):
		return prune
	}
	return stay
}

// servingDue tells whether a serving certificate is to be replaced: it ages, or is not of the present authority.
func servingDue(now time.Time, c, authority *x509.Certificate) bool {
	return aging(now, c) || c.CheckSignatureFrom(authority) != nil
}
