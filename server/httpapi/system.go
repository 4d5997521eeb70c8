package httpapi

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"runtime"
	"sync"

	"github.com/prometheus/common/expfmt"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// The documented names of components (contract section 16.1, OC-26). One that is replaced by another mechanism
// reports under the same name; one that is not used is left out of readiness and is `disabled` in detail.
const (
	checkDatabase   = "database"
	checkEncryption = "encryption"
	checkRedis      = "redis"
	checkS3         = "s3"

	statusOK       = "ok"
	statusError    = "error"
	statusDisabled = "disabled"
)

const (
	// scopeMetrics lets a scraper measure and do nothing else; scope admin includes it.
	scopeMetrics = "metrics:read"

	mediaJSON       = "application/json"
	mediaPEM        = "application/x-pem-file"
	mediaText       = "text/plain"
	mediaPrometheus = "text/plain; version=0.0.4; charset=utf-8"
)

type systemHandlers struct {
	system System
	server *Server
}

func systemRoutes(h systemHandlers) []route {
	metricsScope := scopeMetrics
	if h.server.publicMetrics {
		metricsScope = scopeNone
	}
	return []route{
		{method: http.MethodGet, pattern: "/v1/health", id: "health", summary: "Tell that the process lives",
			group: groupSystem, scope: scopeNone, rate: rateAnonymous, action: actionNone, endpoint: handle(h.health)},
		{method: http.MethodGet, pattern: "/v1/health/ready", id: "ready", summary: "Tell whether the server can work",
			group: groupSystem, scope: scopeNone, rate: rateAnonymous, action: actionNone,
			alsoStatus: []int{http.StatusServiceUnavailable}, endpoint: handle(h.ready).withStatus(readyStatus)},
		{method: http.MethodGet, pattern: "/v1/health/detailed", id: "healthDetailed", summary: "Tell how each component is",
			group: groupSystem, scope: "admin", rate: rateSystem, action: actionNone, endpoint: handle(h.detailed)},
		{method: http.MethodGet, pattern: "/v1/version", id: "version", summary: "Tell what this server is",
			group: groupSystem, scope: scopeNone, rate: rateAnonymous, action: actionNone, endpoint: handle(h.version)},
		{method: http.MethodGet, pattern: "/v1/metrics", id: "metrics", summary: "Measurements in the Prometheus text format",
			group: groupSystem, scope: metricsScope, rate: rateSystem, action: actionNone,
			endpoint: handle(h.metrics).withEncoding(appendBytes).withMedia(mediaPrometheus)},
		{method: http.MethodGet, pattern: "/v1/openapi.json", id: "openapi", summary: "This API as an OpenAPI 3.1 document",
			group: groupSystem, scope: scopeNone, rate: rateAnonymous, action: actionNone,
			endpoint: handle(h.openapi()).withEncoding(appendBytes).withWireType(openAPIDocument{})},
	}
}

type noInput struct{}

func appendBytes(b []byte, text document) []byte { return append(b, text...) }

// document is a body that is made elsewhere.
type document []byte

func (h systemHandlers) health(context.Context, *call, noInput) (vaultapi.Health, error) {
	return vaultapi.Health{Status: "healthy", Timestamp: vaultapi.At(h.server.now())}, nil
}

func (h systemHandlers) ready(ctx context.Context, _ *call, _ noInput) (vaultapi.Readiness, error) {
	r := vaultapi.Readiness{Status: "ready", Checks: map[string]string{}}
	for name, probe := range h.system.Probes {
		check, err := probe(ctx)
		if err == nil && check.Status == statusDisabled {
			continue
		}
		r.Checks[name] = statusOK
		if err == nil {
			continue
		}
		if r.Errors == nil {
			r.Errors = map[string]string{}
		}
		r.Status, r.Checks[name], r.Errors[name] = "not_ready", statusError, shown(err)
	}
	r.DatabaseEmpty = h.system.DatabaseEmpty != nil && h.system.DatabaseEmpty(ctx)
	return r, nil
}

// shown is what may be told of a failed probe to somebody without a token.
func shown(err error) string {
	if f := fault.From(err); f.Kind != fault.KindInternal {
		return f.Message
	}
	return "does not work: see the server's log"
}

func readyStatus(r vaultapi.Readiness) int {
	if len(r.Errors) > 0 {
		return http.StatusServiceUnavailable
	}
	return http.StatusOK
}

func (h systemHandlers) detailed(ctx context.Context, c *call, _ noInput) (vaultapi.DetailedHealth, error) {
	if err := c.needScope("admin"); err != nil {
		return vaultapi.DetailedHealth{}, err
	}
	d := vaultapi.DetailedHealth{
		Status: "healthy", Version: h.system.Version,
		UptimeSeconds: int64(h.server.now().Sub(h.system.Started).Seconds()),
		Checks:        map[string]vaultapi.Check{checkRedis: {Status: statusDisabled}, checkS3: {Status: statusDisabled}},
	}
	for name, probe := range h.system.Probes {
		check, err := probe(ctx)
		switch {
		case err != nil:
			check.Status, d.Status = statusError, "unhealthy"
		case check.Status == "":
			check.Status = statusOK
		}
		d.Checks[name] = check
	}
	return d, nil
}

func (h systemHandlers) version(context.Context, *call, noInput) (vaultapi.Version, error) {
	return vaultapi.Version{
		Version: h.system.Version, Commit: h.system.Commit, GoVersion: runtime.Version(),
		InstanceID: h.system.InstanceID, RestoreEpoch: h.system.RestoreEpoch,
	}, nil
}

func (h systemHandlers) metrics(_ context.Context, c *call, _ noInput) (document, error) {
	if !h.server.publicMetrics && !c.who.HasScope("admin") {
		if err := c.needScope(scopeMetrics); err != nil {
			return nil, err
		}
	}
	families, err := h.server.metrics.registry.Gather()
	if err != nil {
		return nil, fault.Internal(err, "metrics")
	}
	var b bytes.Buffer
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&b, family); err != nil {
			return nil, fault.Internal(err, "metrics")
		}
	}
	return b.Bytes(), nil
}

// openAPIDocument is what the answer of openapi looks like.
type openAPIDocument struct {
	OpenAPI    string          `json:"openapi"`
	Info       json.RawMessage `json:"info"`
	Paths      json.RawMessage `json:"paths"`
	Components json.RawMessage `json:"components"`
}

// openapi makes the document once, when it is first asked for.
func (h systemHandlers) openapi() func(context.Context, *call, noInput) (document, error) {
	once := sync.OnceValues(func() ([]byte, error) { return openAPI(h.server.routes) })
	return func(context.Context, *call, noInput) (document, error) {
		doc, err := once()
		if err != nil {
			return nil, fault.Internal(err, "openapi")
		}
		return doc, nil
	}
}

// needScope is for the few routes behind which there is no domain.
func (c *call) needScope(scope string) error {
	if c.who.HasScope(scope) {
		return nil
	}
	return fault.Forbidden(fault.CodeInsufficientScope, "this call needs scope %s: use a token that carries it", scope).
		With("required_scope", scope)
}
