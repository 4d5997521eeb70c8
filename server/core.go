package server

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/audit"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/events/webhooks"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/httpapi"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/pki/revocation"
	"github.com/scailabs/scaivault/server/policies"
	"github.com/scailabs/scaivault/server/rotation"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secretpolicies"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
)

// core is the vault behind its listener.
type core struct {
	db     *store.DB
	box    *keyBox
	trail  *audit.Log
	edge   *audit.Edge
	events *events.Log
	seen   *events.Glimpses
	sets   *policies.Cache
	guard  *guard.Guard
	jobs   *jobs.Queue
	authn  *authn.Service

	secrets    *secrets.Service // from here on made by finish
	rotation   *rotation.Service
	pki        *pki.Service
	webhooks   *webhooks.Service
	revocation *revocation.Service
	api        *httpapi.Server
}

func (c Config) store(s *Server) store.Options {
	return store.Options{
		DataDir: c.DataDir, DatabaseURL: c.DatabaseURL, DirectURL: c.DatabaseDirectURL, Now: s.now, Log: s.log,
		BeforeCommit: c.BeforeCommit,
	}
}

// newCore registers what takes part in every transaction; it writes nothing. The audit trail's finisher comes
// first and the events' second, as they will run.
func newCore(db *store.DB, s *Server) *core {
	c := &core{db: db, box: &keyBox{}}
	c.trail = audit.New(db, audit.Options{Keys: c.box, Now: s.now, Log: s.log})
	c.events = events.NewLog(db, s.log)
	c.seen = events.NewGlimpses(db, c.events, s.log)
	c.sets = policies.NewCache(db)
	c.edge = audit.NewEdge(c.trail, s.now)
	c.jobs = jobs.New(jobs.Options{DB: db, Now: s.config.Now, Log: s.log})
	c.guard = &guard.Guard{DB: db, Audit: c.trail, Events: c.events, Sets: c.sets, Now: s.now, Glimpses: c.seen}
	options := authn.Options{DB: db, Guard: c.guard, Edge: c.edge, Clusters: s.clusters, Now: s.now, Log: s.log}
	if s.config.Dev {
		options.DevToken = s.config.DevToken
		options.Limits = authn.FailureLimits{PerSource: 1 << 20, PerIssuer: 1 << 20}
	}
	c.authn = authn.New(options)
	return c
}

// finish makes what needs the key chain.
func (c *core) finish(keys *seal.Keyring, s *Server) error {
	c.box.open(keys)
	cursors, err := keys.Derive("policy cursors")
	if err != nil {
		return fmt.Errorf("key of cursors: %w", err)
	}
	recipes := secretpolicies.New(secretpolicies.Deps{DB: c.db, Guard: c.guard, Keys: keys, CursorKey: cursors})
	book := rotation.NewBook(c.db, c.guard, c.jobs)
	c.secrets = secrets.New(secrets.Deps{DB: c.db, Guard: c.guard, Keys: keys, Jobs: c.jobs, Recipes: recipes, Rotations: book})
	recipes.UsedBy(c.secrets, book)
	outgoing, err := s.config.egress()
	if err != nil {
		return err
	}
	c.webhooks = webhooks.New(webhooks.Deps{
		DB: c.db, Guard: c.guard, Keys: keys, Events: c.events, Queue: c.jobs, Sender: outgoing,
		Subscriptions: events.NewJudge(c.guard), Secrets: c.secrets, Log: s.log,
	})
	c.rotation = rotation.New(rotation.Deps{
		Book: book, Guard: c.guard, Heads: c.secrets, Writer: c.secrets, Recipes: recipes, Receivers: c.webhooks,
		CursorKey: cursors, Log: s.log,
	})
	c.pki = pki.New(pki.Deps{
		DB: c.db, Guard: c.guard, Keys: keys, CursorKey: cursors, Endpoints: revocation.EndpointsUnder(s.config.PublicURL),
	})
	c.revocation = revocation.New(revocation.Deps{DB: c.db, Guard: c.guard, Authorities: c.pki, Log: s.log})
	limits, err := s.config.limits()
	if err != nil {
		return err
	}
	proxies, err := s.config.proxies()
	if err != nil {
		return err
	}
	rules := policies.New(policies.Deps{DB: c.db, Guard: c.guard, Cache: c.sets, CursorKey: cursors})
	c.register(c.secrets.Jobs(), c.pki.Jobs(), c.rotation.Jobs(), rules.Jobs(), c.authn.Jobs(), c.events.Jobs())
	c.api, err = httpapi.New(httpapi.Config{
		Limits:         httpapi.Limits{Profile: s.config.profile(), PerMinute: limits},
		TrustedProxies: proxies, PublicMetrics: s.config.PublicMetrics, Collectors: collectors(c, s.cert), Now: s.now, Log: s.log,
	}, httpapi.Services{
		Secrets:        c.secrets,
		Policies:       rules,
		SecretPolicies: recipes,
		Rotation:       c.rotation,
		PKI:            c.pki,
		Revocation:     c.revocation,
		Audit:          audit.NewService(c.trail, c.guard, c.secrets),
		Authn:          c.authn,
		Edge:           c.edge,
		System:         c.system(keys, s),
		Events:         events.NewService(c.guard, c.events, c.webhooks),
		Webhooks:       c.webhooks,
	})
	return err
}

func (c *core) register(domains ...[]jobs.Kind) {
	for _, kind := range slices.Concat(domains...) {
		c.jobs.Register(kind)
	}
}

func (c *core) system(keys *seal.Keyring, s *Server) httpapi.System {
	identity := c.db.Identity()
	return httpapi.System{
		Version: s.config.Version, Commit: s.config.Commit, InstanceID: identity.InstanceID, RestoreEpoch: identity.RestoreEpoch,
		Started:      s.started,
		Probes:       map[string]httpapi.Probe{checkDatabase: c.probeDatabase(s.now), checkEncryption: probeKeys(keys)},
		SecretsTotal: (&secretCount{db: c.db, now: s.now}).get,
	}
}

func (c *core) probeDatabase(now func() time.Time) httpapi.Probe {
	return func(ctx context.Context) (vaultapi.Check, error) {
		start := now()
		if err := c.db.Ping(ctx); err != nil {
			return vaultapi.Check{}, fault.Unavailable(err, "the database does not answer")
		}
		stats := c.db.Stats()
		latency := float64(now().Sub(start).Microseconds()) / 1000
		size, available := stats.ReadersMax, stats.ReadersMax-stats.ReadersInUse
		return vaultapi.Check{Status: "ok", LatencyMS: &latency, PoolSize: &size, PoolAvailable: &available}, nil
	}
}

func probeKeys(keys *seal.Keyring) httpapi.Probe {
	return func(context.Context) (vaultapi.Check, error) {
		h := keys.HealthCheck()
		check := vaultapi.Check{Status: h.Status, KeyStatus: h.KeyStatus}
		if !h.LastRotation.IsZero() {
			at := vaultapi.At(h.LastRotation)
			check.LastRotation = &at
		}
		if err := keys.Ready(); err != nil {
			return check, fault.Unavailable(err, "the key chain is not open")
		}
		return check, nil
	}
}

// release ends long polls, so that a shutdown need not wait for them.
func (c *core) release() { c.events.Release() }
