package pki

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

const authorityFirst = `SELECT COALESCE(MIN(not_after), 0) FROM pki_authorities WHERE revoked_at IS NULL AND not_after > $1`

const scrapeWithin = 2 * time.Second

// newAnnounced counts announcements by the threshold they are of, "ca 7d" of authorities.
func newAnnounced() *prometheus.CounterVec {
	v := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "scaivault_pki_expiry_notices_total", Help: "Expiries of certificates and authorities that were announced."}, []string{"threshold"})
	for _, e := range allExpiries() {
		for _, days := range e.thresholds {
			v.WithLabelValues(e.name + strconv.Itoa(days) + "d")
		}
	}
	return v
}

// Collectors are the measurements of certificates; docs/ops/metrics.md lists them.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.announced, prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "scaivault_pki_authority_expiry_timestamp_seconds",
		Help: "Unix time at which the first certificate authority in use ends; 0: there is none.",
	}, s.firstEnd)}
}

// firstEnd is 0 also where the database does not answer in time.
func (s *Service) firstEnd() float64 {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeWithin)
	defer cancel()
	var at int64
	if s.db.QueryRow(ctx, authorityFirst, s.guard.Now().UnixMicro()).Scan(&at) != nil {
		return 0
	}
	return float64(at / time.Second.Microseconds())
}
