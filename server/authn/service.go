package authn

import (
	"context"
	"crypto/sha256"
	"log/slog"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Audience is what a workload's token must be made for.
const Audience = "scaivault"

// Edge records what was refused before anybody was known; it may fold many entries of one source into one.
// An error means that nothing may be answered, because nothing is on record.
type Edge interface {
	Record(ctx context.Context, e guard.Entry) error
}

// Options are what a Service needs. DevToken and Clusters may be empty, Limits and Now have defaults.
type Options struct {
	DB       *store.DB
	Guard    *guard.Guard
	Edge     Edge
	Clusters []Cluster     // whose workloads may exchange; names and issuers are unique
	DevToken string        // an all-powerful token that never ends and is never stored; "" for none
	Limits   FailureLimits // of failed exchanges; zero: the contract's
	Now      func() time.Time
	Log      *slog.Logger
}

// Service knows who a caller is.
type Service struct {
	db       *store.DB
	guard    *guard.Guard
	edge     Edge
	clusters []Cluster
	dev      *devToken
	known    *tokenCache // nil where another process may revoke
	used     *lastUse
	failures *failures
	reviews  map[string]chan struct{} // bounds the reviews under way, by cluster: a slow one holds up no other
	now      func() time.Time
	log      *slog.Logger
}

// New makes a Service; it touches nothing.
func New(o Options) *Service {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Service{
		db: o.DB, guard: o.Guard, edge: o.Edge, clusters: o.Clusters, used: newLastUse(),
		failures: newFailures(o.Limits), reviews: map[string]chan struct{}{}, now: o.Now, log: o.Log,
	}
	for _, c := range o.Clusters {
		s.reviews[c.Name] = make(chan struct{}, maxReviews)
	}
	if o.DevToken != "" {
		s.dev = &devToken{hash: sha256.Sum256([]byte(o.DevToken))}
	}
	if o.DB.Exclusive() {
		s.known = newTokenCache(maxKnownTokens)
	}
	return s
}
