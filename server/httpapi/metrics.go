package httpapi

import (
	"context"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// metrics are the documented measurements (contract section 16.1) that have a source here. Every label is
// bounded: methods and path categories come from the route table, statuses from HTTP, tenants from the database.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	active   *prometheus.GaugeVec
	limited  *prometheus.CounterVec
	reads    *prometheus.CounterVec
	writes   *prometheus.CounterVec
	limits   [categories]limitRow
	nowhere  *rowMetrics
}

// rowMetrics are a row's children of the vectors, found once.
type rowMetrics struct {
	method, category string
	requests         *prometheus.CounterVec
	duration         prometheus.Observer
	active           prometheus.Gauge
	byStatus         [600]atomic.Pointer[prometheus.Counter]
}

func newMetrics(more []prometheus.Collector, system System, limits [categories]limitRow) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(), limits: limits,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_requests_total", Help: "Requests answered."}, []string{"method", "path_category", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "scaivault_request_duration_seconds", Help: "Time to answer a request.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 60}},
			[]string{"method", "path_category"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "scaivault_active_requests", Help: "Requests being answered."}, []string{"path_category"}),
		limited: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_rate_limit_hits_total", Help: "Calls refused because their bucket was empty."}, []string{"category"}),
		reads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_secret_reads_total", Help: "Secrets whose values were answered."}, []string{"tenant", "secret_type"}),
		writes: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "scaivault_secret_writes_total", Help: "Versions written."}, []string{"tenant"}),
	}
	m.registry.MustRegister(m.requests, m.duration, m.active, m.limited, m.reads, m.writes,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if system.SecretsTotal != nil {
		m.registry.MustRegister(newSecretsTotal(system.SecretsTotal))
	}
	m.registry.MustRegister(more...)
	m.nowhere = m.row("other", "other")
	return m
}

// row finds the children of the vectors that a row feeds.
func (m *metrics) row(method, category string) *rowMetrics {
	return &rowMetrics{
		method: method, category: category, requests: m.requests,
		duration: m.duration.WithLabelValues(method, category), active: m.active.WithLabelValues(category),
	}
}

func (m *metrics) entered(row *route) { row.metrics.active.Inc() }

func (m *metrics) answered(x *exchange, took time.Duration) {
	rm := m.nowhere
	if x.row != nil {
		rm = x.row.metrics
		rm.active.Dec()
	}
	rm.duration.Observe(took.Seconds())
	rm.count(x.status)
}

// count adds one answer. A request whose client left before any answer counts as 499.
func (rm *rowMetrics) count(status int) {
	const clientClosed = 499
	if status < http.StatusContinue || status >= len(rm.byStatus) {
		status = clientClosed
	}
	counter := rm.byStatus[status].Load()
	if counter == nil {
		c := rm.requests.WithLabelValues(rm.method, rm.category, strconv.Itoa(status))
		counter = &c
		rm.byStatus[status].Store(counter)
	}
	(*counter).Inc()
}

func (m *metrics) rateLimited(c category) { m.limited.WithLabelValues(m.limits[c].name).Inc() }

// secretsTotal counts live secrets when it is scraped.
type secretsTotal struct {
	count func(context.Context) (map[string]int64, error)
	desc  *prometheus.Desc
}

const scrapeTimeout = 5 * time.Second

func newSecretsTotal(count func(context.Context) (map[string]int64, error)) secretsTotal {
	return secretsTotal{count: count, desc: prometheus.NewDesc("scaivault_secrets_total", "Secrets that are not deleted.", []string{"tenant"}, nil)}
}

// Describe implements prometheus.Collector.
func (c secretsTotal) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector. What cannot be counted now is left out.
func (c secretsTotal) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	totals, err := c.count(ctx)
	if err != nil {
		return
	}
	for tenant, n := range totals {
		ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), tenant)
	}
}
