module localbuild/monitoring

go 1.26.0

// For the definitions of ServiceMonitor and PrometheusRule that test/chart installs; no code of it is built.
require github.com/prometheus-operator/prometheus-operator v0.85.0
