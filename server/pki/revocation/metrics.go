package revocation

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scailabs/scaivault/internal/certstatus"
)

type metrics struct {
	answers *prometheus.CounterVec
	signed  prometheus.Counter
	lists   prometheus.Histogram
	entries prometheus.Gauge
}

func newMetrics() *metrics {
	m := &metrics{
		answers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_pki_ocsp_answers_total", Help: "Answers of OCSP."}, []string{"status"}),
		signed: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "scaivault_pki_ocsp_signatures_total", Help: "Answers of OCSP that were signed; the others were in memory."}),
		lists: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "scaivault_pki_crl_generation_seconds", Help: "Time to read and sign a revocation list.", Buckets: []float64{.005, .02, .1, .5, 1, 5}}),
		entries: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "scaivault_pki_crl_entries", Help: "Entries of the revocation list that was made last."}),
	}
	for _, s := range []certstatus.State{certstatus.Good, certstatus.Revoked, certstatus.Unknown} { // a rate begins at nought
		m.answers.WithLabelValues(s.String())
	}
	for _, r := range []refusal{malformed(), unauthorized(), forNow()} {
		m.answers.WithLabelValues(r.name)
	}
	return m
}

func (m *metrics) answered(status string) { m.answers.WithLabelValues(status).Inc() }

func (m *metrics) made(entries int, took time.Duration) {
	m.entries.Set(float64(entries))
	m.lists.Observe(took.Seconds())
}

// Collectors are the measurements of lists and OCSP; docs/ops/metrics.md lists them.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.answers, s.metrics.signed, s.metrics.lists, s.metrics.entries}
}
