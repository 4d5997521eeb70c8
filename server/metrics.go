package server

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scailabs/scaivault/server/store"
)

// collectors are the measurements of what lies behind the edge; docs/ops/metrics.md lists them.
func collectors(c *core, cert *certificate) []prometheus.Collector {
	gauge := func(name, help string, value func() float64) prometheus.Collector {
		return prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	all := []prometheus.Collector{
		gauge("scaivault_db_pool_size", "Reader connections there may be.", func() float64 { return float64(c.db.Stats().ReadersMax) }),
		gauge("scaivault_db_pool_available", "Reader connections that are free.", func() float64 {
			s := c.db.Stats()
			return float64(s.ReadersMax - s.ReadersInUse)
		}),
		gauge("scaivault_db_latency_seconds", "Time of the last commit.", func() float64 { return c.db.Stats().LastCommit.Seconds() }),
		gauge("scaivault_db_write_queue_depth", "Writes that wait for a writer.", func() float64 { return float64(c.db.Stats().Queued) }),
		gauge("scaivault_audit_index_lag", "Durable audit entries that the index does not hold yet.", func() float64 { return float64(c.trail.Lag()) }),
	}
	all = append(all, c.jobs.Collectors()...)
	all = append(all, c.webhooks.Collectors()...)
	all = append(all, c.revocation.Collectors()...)
	all = append(all, c.pki.Collectors()...)
	if cert != nil {
		all = append(all, gauge("scaivault_tls_certificate_expiry_timestamp_seconds", "Unix time at which the served certificate ends.",
			func() float64 { return float64(cert.current.Load().Leaf.NotAfter.Unix()) }))
	}
	return all
}

// countEvery is how old a count of secrets may be: counting reads all of them.
const countEvery = time.Minute

// secretCount counts live secrets per tenant for scaivault_secrets_total.
type secretCount struct {
	db  *store.DB
	now func() time.Time

	mu    sync.Mutex
	at    time.Time
	count map[string]int64
}

// get returns the count by tenant.
func (s *secretCount) get(ctx context.Context) (map[string]int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); s.count == nil || now.Sub(s.at) >= countEvery {
		count, err := s.query(ctx)
		if err != nil {
			return nil, err
		}
		s.count, s.at = count, now
	}
	return maps.Clone(s.count), nil
}

func (s *secretCount) query(ctx context.Context) (map[string]int64, error) {
	rows, err := s.db.Query(ctx, `SELECT t.id, COUNT(s.path) FROM tenants t
		LEFT JOIN secrets s ON s.tenant = t.id AND s.deleted_at IS NULL GROUP BY t.id`)
	if err != nil {
		return nil, fmt.Errorf("count secrets: %w", err)
	}
	defer func() { _ = rows.Close() }()
	count := map[string]int64{}
	for rows.Next() {
		var tenant string
		var n int64
		if err := rows.Scan(&tenant, &n); err != nil {
			return nil, fmt.Errorf("count secrets: %w", err)
		}
		count[tenant] = n
	}
	return count, rows.Err()
}
