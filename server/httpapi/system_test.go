package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

func probed(check vaultapi.Check, err error) Probe {
	return func(context.Context) (vaultapi.Check, error) { return check, err }
}

func systemFixture(t *testing.T, c Config, system System) *fixture {
	return newFixture(t, c, func(s *Server) []route { return systemRoutes(systemHandlers{system: system, server: s}) })
}

func TestHealthNeedsNoToken(t *testing.T) {
	f := systemFixture(t, Config{}, System{Version: "v1.2", InstanceID: "i", RestoreEpoch: 4})
	for target, want := range map[string]string{
		"/v1/health": `"status":"healthy"`, "/v1/health/ready": `"status":"ready"`, "/v1/version": `"instance_id":"i","restore_epoch":4`,
	} {
		w := f.do(t, "GET", target, "", "Authorization", "")
		if w.Code != http.StatusOK || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
		checkHeaders(t, w)
	}
}

func TestReadiness(t *testing.T) {
	system := System{Probes: map[string]Probe{
		checkDatabase:   probed(vaultapi.Check{}, nil),
		checkRedis:      probed(vaultapi.Check{Status: statusDisabled}, nil),
		checkEncryption: probed(vaultapi.Check{}, fault.Unavailable(errors.New("file /root.key"), "the root key is missing")),
		checkS3:         probed(vaultapi.Check{}, errors.New("dial tcp 10.0.0.1: hunter2")),
	}, DatabaseEmpty: func(context.Context) bool { return true }}
	f := systemFixture(t, Config{}, system)
	w := f.do(t, "GET", "/v1/health/ready", "", "Authorization", "")
	var got vaultapi.Readiness
	if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	_, redis := got.Checks[checkRedis]
	if w.Code != http.StatusServiceUnavailable || got.Status != "not_ready" || got.Checks[checkDatabase] != "ok" ||
		got.Checks[checkEncryption] != "error" || got.Errors[checkEncryption] != "the root key is missing" || redis || !got.DatabaseEmpty {
		t.Errorf("%d %+v", w.Code, got)
	}
	if strings.Contains(w.Body.String(), "hunter2") || strings.Contains(w.Body.String(), "/root.key") {
		t.Errorf("readiness tells a private cause: %s", w.Body)
	}
}

func TestDetailedHealthAndMetricsNeedAScope(t *testing.T) {
	f := systemFixture(t, Config{}, System{})
	for target, scope := range map[string]string{"/v1/health/detailed": "admin", "/v1/metrics": "metrics:read"} {
		if e := envelope(t, f.do(t, "GET", target, "")); e.Code != fault.CodeInsufficientScope || e.Details["required_scope"] != scope {
			t.Errorf("%s: %+v", target, e)
		}
		if w := f.do(t, "GET", target, "", "Authorization", ""); w.Code != http.StatusUnauthorized {
			t.Errorf("%s without token: %d", target, w.Code)
		}
	}
}

func TestPublicMetrics(t *testing.T) {
	system := System{
		SecretsTotal: func(context.Context) (map[string]int64, error) { return map[string]int64{"tnt_default": 3}, nil },
	}
	f := &fixture{edge: &edgeLog{}}
	s, err := newServer(Config{PublicMetrics: true}, knownTokens{}, f.edge, system, func(s *Server) []route {
		return append(systemRoutes(systemHandlers{system: system, server: s}), standIns(s)[6:]...)
	})
	if err != nil {
		t.Fatal(err)
	}
	f.Server = s
	f.do(t, "GET", "/v1/secrets/a", "")
	f.do(t, "HEAD", "/v1/secrets/a", "")
	f.do(t, "BREW", "/v1/coffee", "")
	f.do(t, "GET", "/v1/secrets/panics", "")
	w := f.do(t, "GET", "/v1/metrics", "", "Authorization", "")
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain") {
		t.Fatalf("%d %v", w.Code, w.Header())
	}
	for _, want := range []string{
		`scaivault_requests_total{method="GET",path_category="secrets",status="200"} 2`,
		`scaivault_requests_total{method="GET",path_category="secrets",status="500"} 1`,
		`scaivault_requests_total{method="other",path_category="other",status="404"} 1`,
		`scaivault_request_duration_seconds_count{method="GET",path_category="secrets"} 3`,
		`scaivault_active_requests{path_category="secrets"} 0`,
		`scaivault_active_requests{path_category="system"} 1`,
		`scaivault_secrets_total{tenant="tnt_default"} 3`, `go_goroutines`,
	} {
		if !strings.Contains(w.Body.String(), want+"\n") && !strings.Contains(w.Body.String(), want+" ") {
			t.Errorf("no line %s", want)
		}
	}
	if t.Failed() {
		t.Log(w.Body)
	}
}
