package jobs

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Results of runs.
const (
	resultDone   = "done"
	resultFailed = "failed"
	resultLost   = "lost"  // another had claimed the job meanwhile; nothing was changed
	resultEnded  = "ended" // with the server, before it was done
)

type metrics struct {
	lag  *prometheus.GaugeVec
	runs *prometheus.CounterVec
}

func newMetrics() *metrics {
	return &metrics{
		lag: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scaivault_jobs_lag_seconds", Help: "How long the first job that nobody has claimed has been due."}, []string{"kind"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_jobs_runs_total", Help: "Runs of jobs."}, []string{"kind", "result"}),
	}
}

// late records how long the kind's first job has been due; a zero first is none.
func (m *metrics) late(kind string, first, now time.Time) {
	lag := 0.0
	if !first.IsZero() {
		lag = max(now.Sub(first).Seconds(), 0)
	}
	m.lag.WithLabelValues(kind).Set(lag)
}

func (m *metrics) ran(kind, result string) { m.runs.WithLabelValues(kind, result).Inc() }

// Collectors are the queue's measurements; docs/ops/metrics.md lists them.
func (q *Queue) Collectors() []prometheus.Collector {
	return []prometheus.Collector{q.metrics.lag, q.metrics.runs}
}
