package contract

import (
	"testing"

	"github.com/scailabs/scaivault/server"
)

type object = map[string]any

func TestTrafficFitsTheDocument(t *testing.T) {
	kubeconfig := cluster(t)
	base := start(t, func(c *server.Config) {
		c.KubernetesAuth, c.Kubeconfig, c.OperatorAccount = true, kubeconfig, operatorAccount
	})
	r := newRecorder(t, base)
	secretTraffic(t, r)
	policyTraffic(t, r)
	secretPolicyTraffic(t, r)
	rotationTraffic(t, r)
	pkiTraffic(t, r)
	subscriptionTraffic(t, r)
	webhookTraffic(t, r)
	auditTraffic(t, r)
	authTraffic(t, r)
	trustTraffic(t, r)
	systemTraffic(t, r)
	r.base = start(t, func(c *server.Config) { c.RateLimitOverrides = []string{"anonymous=1"} })
	limitedTraffic(t, r)
	r.complete(t)
}

func secretTraffic(t *testing.T, r *recorder) {
	const one, deep = "/v1/secrets/app/db/password", "/v1/secrets/environments/production/billing/database"
	value := object{"url": "postgres://u:p@h/d", "n": 12.5}
	for _, c := range []call{
		{method: "GET", target: one, want: 404},
		{method: "GET", target: one + "/metadata", want: 404},
		{method: "GET", target: one + "/versions", want: 404},
		{method: "DELETE", target: one, want: 404},
		{method: "POST", target: one + "/restore", want: 404},
		{method: "PATCH", target: one, body: object{"metadata": object{"a": 1}}, want: 404},
		{method: "PATCH", target: one + "/metadata", body: object{"metadata": object{"a": 1}}, want: 404},
		{method: "PUT", target: one, body: object{"data": "text"}, want: 400},
		{method: "PUT", target: "/v1/secrets/app/metadata", body: object{"data": value}, want: 400},
		{method: "PUT", target: one, body: object{"data": value}, want: 201},
		{method: "PUT", target: one, body: object{"data": value, "secret_type": "json", "metadata": object{"tags": []string{"a"}, "owner": "team:x"},
			"options": object{"max_versions": 5, "expires_in": "1h", "notify_before": "30m,5m"}}, want: 200},
		{method: "PUT", target: one, body: object{"data": value, "options": object{"expires_in": "1h", "notify_before": []string{"30m", "5m"}}}, want: 200},
		{method: "PUT", target: one, body: object{"data": value, "options": object{"notify_before": "soon"}}, want: 400},
		{method: "PUT", target: one, body: object{"data": value, "options": object{"cas_version": 7}}, want: 409},
		{method: "PUT", target: deep, body: object{"data": value, "metadata": object{"description": "d", "k": []any{1, nil, object{"x": "y"}}}}, want: 201},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: one + "?version=1", want: 200},
		{method: "GET", target: one + "?version=9", want: 404},
		{method: "GET", target: one + "?version=0", want: 400},
		{method: "GET", target: deep, want: 200},
		{method: "GET", target: deep + "/metadata", want: 200},
		{method: "GET", target: one + "/versions", want: 200},
		{method: "PATCH", target: one + "/metadata", body: object{"metadata": object{"tags": []string{"b"}, "owner": nil}}, want: 200},
		{method: "PATCH", target: one, body: object{"metadata": object{"x": 1}}, want: 200},
		{method: "GET", target: "/v1/secrets?include_metadata=true&limit=200", want: 200},
		{method: "GET", target: "/v1/secrets?limit=1", want: 200},
		{method: "GET", target: "/v1/secrets?expiring_within=30d&prefix=app/", want: 200},
		{method: "GET", target: "/v1/secrets?cursor=nonsense", want: 400},
		{method: "POST", target: "/v1/secrets/batch", body: object{"paths": []string{"app/db/password", "nope"}, "options": object{"include_metadata": true}}, want: 200},
		{method: "POST", target: "/v1/secrets/batch", body: object{"paths": make([]string, 101)}, want: 400},
		{method: "POST", target: "/v1/secrets/batch/metadata", body: object{"paths": []string{"app/**", "nope"}, "expand_wildcards": true}, want: 200},
		{method: "POST", target: "/v1/secrets/batch/metadata", body: object{"paths": "app"}, want: 400},
		{method: "DELETE", target: one, want: 200},
		{method: "PUT", target: one, body: object{"data": value}, want: 409},
		{method: "POST", target: one + "/restore", want: 200},
		{method: "DELETE", target: one + "?permanent=true", want: 200},
	} {
		r.do(t, c)
	}
	etag := text(t, r.do(t, call{method: "GET", target: deep, want: 200}), "etag")
	r.do(t, call{method: "GET", target: deep, header: map[string]string{"If-None-Match": `"` + etag + `"`}, want: 304})
}

func policyTraffic(t *testing.T, r *recorder) {
	const all = "/v1/policies"
	write := object{"name": "billing-read", "rules": []object{{"path_pattern": "environments/production/billing/**", "permissions": []string{"read"},
		"conditions": object{"ip_ranges": []string{"10.0.0.0/8"}, "time_window": object{"days": []string{"mon"}, "start": "08:00", "end": "18:00"}}}}}
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "rules": []object{{"path_pattern": "/**", "permissions": []string{"read"}}}}, want: 400})
	id := text(t, r.do(t, call{method: "POST", target: all, body: write, want: 201}), "id")
	one := all + "/" + id
	r.do(t, call{method: "POST", target: one + "/bindings", body: object{"identity_type": "service_account", "identity_id": "sa:billing-prod"}, want: 201})
	binding := text(t, r.do(t, call{method: "POST", target: one + "/bindings", body: object{"identity_id": "user:alice@acme.example", "expires_at": "2099-01-31"}, want: 201}), "id")
	for _, c := range []call{
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?limit=0", want: 400},
		{method: "GET", target: all + "?path=environments/production/billing/database&permission=read", want: 200},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: all + "/pol_none", want: 404},
		{method: "PUT", target: one, body: write, want: 200},
		{method: "PUT", target: all + "/pol_none", body: write, want: 404},
		{method: "PATCH", target: one, body: object{"description": "d", "is_active": true}, want: 200},
		{method: "PATCH", target: all + "/pol_none", body: object{}, want: 404},
		{method: "GET", target: one + "/bindings", want: 200},
		{method: "GET", target: all + "/pol_none/bindings", want: 404},
		{method: "POST", target: all + "/pol_none/bindings", body: object{"identity_id": "sa:x"}, want: 404},
		{method: "POST", target: all + "/test", body: object{"identity_id": "sa:billing-prod", "path": "environments/production/billing/database", "permission": "read"}, want: 200},
		{method: "POST", target: all + "/test", body: object{"identity_id": "sa:billing-prod", "path": "environments/production/billing/database", "permission": "read",
			"context": object{"source_ip": "10.1.2.3", "timestamp": "2026-01-05T09:00:00Z"}}, want: 200},
		{method: "POST", target: all + "/test", body: object{"identity_id": "sa:nobody", "path": "other", "permission": "write"}, want: 200},
		{method: "POST", target: all + "/test", body: object{"identity_id": "sa:nobody", "path": "", "permission": "write"}, want: 400},
		{method: "DELETE", target: one, want: 409},
		{method: "DELETE", target: one + "/bindings/" + binding, want: 204},
		{method: "DELETE", target: one + "/bindings/bind_none", want: 404},
		{method: "DELETE", target: one + "?force=true", want: 204},
	} {
		r.do(t, c)
	}
}

func subscriptionTraffic(t *testing.T, r *recorder) {
	const all = "/v1/subscriptions"
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "paths": []string{"**"}, "delivery": object{"type": "carrier-pigeon"}}, want: 422})
	id := text(t, r.do(t, call{method: "POST", target: all, body: object{"name": "mine", "paths": []string{"app/**"}, "events": []string{"secret.*"},
		"delivery": object{"type": "polling", "buffer_size": 100}}, want: 201}), "id")
	one := all + "/" + id
	r.do(t, call{method: "PUT", target: "/v1/secrets/app/event", body: object{"data": object{"a": 1}}, want: 201})
	polled := r.do(t, call{method: "GET", target: one + "/poll?timeout=20", want: 200})
	events, ok := polled["events"].([]any)
	if !ok || len(events) == 0 {
		t.Fatalf("no event of a write: %v", polled)
	}
	first, _ := events[0].(object)
	for _, c := range []call{
		{method: "POST", target: one + "/ack", body: object{"event_ids": []string{text(t, first, "event_id")}}, want: 200},
		{method: "POST", target: one + "/ack", body: object{}, want: 422},
		{method: "GET", target: one + "/poll?timeout=0", want: 200},
		{method: "GET", target: one + "/poll?timeout=61", want: 400},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?limit=1001", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: all + "/sub_none", want: 404},
		{method: "PATCH", target: one, body: object{"name": "ours", "paths": []string{"**"}}, want: 200},
		{method: "PATCH", target: all + "/sub_none", body: object{"name": "x"}, want: 404},
		{method: "DELETE", target: one, want: 204},
		{method: "DELETE", target: one, want: 404},
	} {
		r.do(t, c)
	}
}

func webhookTraffic(t *testing.T, r *recorder) {
	const all = "/v1/webhooks"
	write := object{"name": "prod-rotations", "url": "https://ops.acme.invalid/scaivault/rotations", "secret": "whsec_...",
		"events": []string{"rotation.due", "rotation.overdue", "rotation.failed"}, "filters": object{"path_prefix": "environments/production/"}}
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "url": "http://ops.acme.invalid/", "secret": "s"}, want: 422})
	id := text(t, r.do(t, call{method: "POST", target: all, body: write, want: 201}), "id")
	one := all + "/" + id
	for _, c := range []call{
		{method: "POST", target: all, body: write, want: 409},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?limit=1001", want: 400},
		{method: "GET", target: all + "?cursor=nonsense", want: 400},
		{method: "POST", target: one + "/test", want: 200},
		{method: "POST", target: all + "/none/test", want: 404},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: all + "/prod-rotations", want: 200},
		{method: "GET", target: all + "/none", want: 404},
		{method: "GET", target: one + "/deliveries?status=failed&limit=10", want: 200},
		{method: "GET", target: one + "/deliveries?status=lost", want: 400},
		{method: "PATCH", target: one, body: object{"secret": "whsec_next", "previous_secret_ttl": "24h", "enabled": false}, want: 200},
		{method: "PATCH", target: one, body: object{"secret": "whsec_next", "previous_secret_ttl": "soon"}, want: 400},
		{method: "DELETE", target: one, want: 204},
		{method: "DELETE", target: one, want: 404},
	} {
		r.do(t, c)
	}
}

func auditTraffic(t *testing.T, r *recorder) {
	for _, c := range []call{
		{method: "GET", target: "/v1/audit/logs?limit=1000", want: 200},
		{method: "GET", target: "/v1/audit/logs?from=2026-01-01&action=read,write&success=true&path_prefix=app/&identity_type=user", want: 200},
		{method: "GET", target: "/v1/audit/logs?from=yesterday", want: 400},
		{method: "GET", target: "/v1/audit/secrets/environments/production/billing/database?from=2026-01-01T00:00:00Z", want: 200},
		{method: "GET", target: "/v1/audit/secrets/App", want: 400},
		{method: "GET", target: "/v1/audit/consumers/environments/production/billing/database", want: 200},
		{method: "GET", target: "/v1/audit/consumers/app/none", want: 404},
		{method: "GET", target: "/v1/audit/identities/user:dev?from=2026-01-01", want: 200},
		{method: "GET", target: "/v1/audit/identities/user:alice@acme.example", want: 200},
		{method: "GET", target: "/v1/audit/identities/user:dev?success=maybe", want: 400},
		{method: "GET", target: "/v1/audit/summary", want: 200},
		{method: "GET", target: "/v1/audit/summary?to=never", want: 400},
		{method: "GET", target: "/v1/audit/verify", want: 200},
		{method: "GET", target: "/v1/audit/verify", anonymous: true, want: 401},
	} {
		r.do(t, c)
	}
}

func authTraffic(t *testing.T, r *recorder) {
	for _, c := range []call{
		{method: "GET", target: "/v1/auth/whoami", want: 200},
		{method: "GET", target: "/v1/auth/whoami", header: map[string]string{"Authorization": "Bearer skt_wrong"}, want: 401},
		{method: "POST", target: "/v1/auth/introspect", body: object{"token": token}, want: 200},
		{method: "POST", target: "/v1/auth/introspect", body: object{"token": "skt_wrong"}, want: 200},
		{method: "POST", target: "/v1/auth/introspect", want: 400},
		{method: "POST", target: "/v1/auth/exchange", anonymous: true, body: object{"subject_token": workloadToken()}, want: 200},
		{method: "POST", target: "/v1/auth/exchange", anonymous: true, want: 400},
		{method: "POST", target: "/v1/auth/exchange", anonymous: true, body: object{"subject_token": "a.b.c"}, want: 401},
	} {
		r.do(t, c)
	}
}

func trustTraffic(t *testing.T, r *recorder) {
	const all = "/v1/auth/trust-rules"
	write := object{"name": "billing", "namespace": "billing", "service_account": "billing-prod", "identity": "sa:billing-prod", "life": "5m"}
	r.do(t, call{method: "POST", target: all, body: object{"name": "x", "identity": "system:root"}, want: 422})
	id := text(t, r.do(t, call{method: "POST", target: all, body: write, want: 201}), "id")
	one := all + "/" + id
	for _, c := range []call{
		{method: "POST", target: all, body: write, want: 409},
		{method: "POST", target: all, body: object{"name": "y", "life": "soon"}, want: 400},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?cluster=home&limit=1", want: 200},
		{method: "GET", target: all + "?cursor=nonsense", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: all + "/none", want: 404},
		{method: "PUT", target: one, body: write, want: 200},
		{method: "PUT", target: all + "/home-cluster", body: object{"name": "home-cluster"}, want: 409},
		{method: "PATCH", target: one, body: object{"scopes": []string{"secrets:read"}}, want: 200},
		{method: "PATCH", target: all + "/none", body: object{}, want: 404},
		{method: "DELETE", target: one, want: 204},
		{method: "DELETE", target: one, want: 404},
	} {
		r.do(t, c)
	}
}

func systemTraffic(t *testing.T, r *recorder) {
	for _, target := range []string{"/v1/health", "/v1/health/ready", "/v1/version", "/v1/openapi.json"} {
		r.do(t, call{method: "GET", target: target, anonymous: true, want: 200})
	}
	for _, target := range []string{"/v1/health/detailed", "/v1/metrics"} {
		r.do(t, call{method: "GET", target: target, want: 200})
		r.do(t, call{method: "GET", target: target, anonymous: true, want: 401})
	}
}

// limitedTraffic: the one thing that routes which take nothing can refuse is too much. The call that found the
// server ready has spent this server's budget of one a minute.
func limitedTraffic(t *testing.T, r *recorder) {
	for _, target := range []string{"/v1/health", "/v1/health/ready", "/v1/version", "/v1/openapi.json"} {
		r.do(t, call{method: "GET", target: target, anonymous: true, want: 429})
	}
}
