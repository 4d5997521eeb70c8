package webhooks

import (
	"context"
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

type metrics struct {
	depth    prometheus.Gauge
	attempts *prometheus.CounterVec
	lost     prometheus.Counter
}

func newMetrics() *metrics {
	m := &metrics{
		depth: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "scaivault_webhook_queue_depth", Help: "Deliveries that wait for their first or next attempt."}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_webhook_attempts_total", Help: "Attempts to deliver an event."}, []string{"result"}),
		lost: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "scaivault_webhook_events_lost_total", Help: "Events that the log no longer held when a webhook's turn came."}),
	}
	for _, r := range []string{succeeded, failed} { // there from the start: a rate begins at nought
		m.attempts.WithLabelValues(r)
	}
	return m
}

func result(o outcome) string {
	if o.problem == "" {
		return succeeded
	}
	return failed
}

// Collectors are the measurements of webhooks; docs/ops/metrics.md lists them.
func (s *Service) Collectors() []prometheus.Collector {
	return []prometheus.Collector{s.metrics.depth, s.metrics.attempts, s.metrics.lost}
}

// measure counts what waits.
func (s *Service) measure(ctx context.Context) error {
	var n int64
	if err := s.DB.QueryRow(ctx, countDepth).Scan(&n); err != nil {
		return fmt.Errorf("count deliveries: %w", err)
	}
	s.metrics.depth.Set(float64(n))
	return nil
}
