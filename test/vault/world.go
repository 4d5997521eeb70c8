package vault

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// World is one of everything that a tenant can hold, made over the API, with names of its own. Each of its Calls
// succeeds once.
type World struct {
	Name  string // its paths begin with <Name>/, its other names with <Name>-
	Value string // what its secrets hold

	Secret, Deleted string // paths; Secret has two versions
	Etag            string
	Policy, Spare   string // ids; Spare has no binding
	Binding         string // of Policy, for Identity
	Identity        string
	Subscription    string // that holds the events of the secrets
	Event           string // its first event
	ListCursor      string // of the secrets, with ListQuery
	PolicyCursor    string // with limit=1
	SubscriptionCur string // with limit=1
	AuditCursor     string // with limit=1
	TrustRule       string // id, of ServiceAccount app in namespace <Name> of cluster edge
	TrustCursor     string // with limit=1

	SecretPolicy       string // id
	SecretPolicyCursor string // with limit=1

	RotationPolicy                                  string // id
	RotationCursor, AssignmentCursor, HistoryCursor string // with limit=1
	DueCursor                                       string // of dueQuery
	Webhook                                         string // id
	WebhookCursor, DeliveryCursor                   string // with limit=1

	Authority, Certificate      string // ids; the role is <Name>-role
	Serial                      string // of Certificate
	Question                    []byte // by OCSP, about it
	AuthorityCursor, RoleCursor string // with limit=1
	CertificateCursor           string // of certificateQuery

	Slot, OldSlot            string // ids of slots of Authority that are retiring
	Anchor, AuthorityRequest string // ids
	AnchorCursor             string // with limit=1
	AuthorityRequestCursor   string // with limit=1
	Asked                    string // id of a certificate request that waits
	AskedCursor              string // with limit=1

	out      *outside
	outerID  string // id of another request of an authority
	outerPEM string // what out made of it
	approved string // id of a certificate request
	refused  string // id of one that is to be rejected
	asker    Caller // not by

	by       Caller
	workload func() string // a fresh token of a workload
}

type object = map[string]any

// ListQuery is the query that ListCursor belongs to.
func (w *World) ListQuery() string { return "prefix=" + w.Name + "/&limit=1" }

// World makes a world. The caller needs every scope and every permission.
func (s *Composed) World(by Caller, name, value string) *World {
	s.tb.Helper()
	w := &World{
		Name: name, Value: value, by: by, Secret: name + "/app/db", Deleted: name + "/app/old", Identity: "sa:" + name, asker: s.asker(by.Tenant),
		workload: func() string { return s.Cluster.Issue("shop/app", "scaivault") },
	}
	w.subscriptions()
	w.secrets()
	w.policies()
	w.trust()
	w.recipes()
	w.rotation()
	w.webhooks()
	w.pki()
	w.slots()
	w.revocation()
	w.requests()
	w.events()
	var audit vaultapi.AuditList
	by.Must(Request{Path: "/v1/audit/logs?limit=1"}, &audit)
	w.AuditCursor = *audit.Cursor
	return w
}

func (w *World) secrets() {
	w.by.TB.Helper()
	data := object{"data": object{"password": w.Value, "n": json.Number("12345678901234567890.5")}, "metadata": object{"owner": "team:x"}}
	for _, path := range []string{w.Secret, w.Secret, w.Deleted, w.Name + "/app/third"} {
		w.by.Must(Request{Method: "PUT", Path: "/v1/secrets/" + path, Body: data}, nil)
	}
	w.by.Must(Request{Method: "DELETE", Path: "/v1/secrets/" + w.Deleted}, nil)
	w.Etag = w.by.Must(Request{Path: "/v1/secrets/" + w.Secret}, nil).Header.Get("Etag")
	var list vaultapi.SecretList
	w.by.Must(Request{Path: "/v1/secrets?" + w.ListQuery()}, &list)
	w.ListCursor = *list.Cursor
}

func (w *World) policies() {
	w.by.TB.Helper()
	for suffix, id := range map[string]*string{"-read": &w.Policy, "-spare": &w.Spare} {
		var p vaultapi.Policy
		w.by.Must(Request{Method: "POST", Path: "/v1/policies", Body: w.policy(suffix)}, &p)
		*id = p.ID
	}
	var b vaultapi.Binding
	w.by.Must(Request{Method: "POST", Path: "/v1/policies/" + w.Policy + "/bindings", Body: object{"identity_id": w.Identity}}, &b)
	w.Binding = b.ID
	var list vaultapi.PolicyList
	w.by.Must(Request{Path: "/v1/policies?limit=1"}, &list)
	w.PolicyCursor = *list.Cursor
}

func (w *World) policy(suffix string) object {
	return object{"name": w.Name + suffix, "rules": []object{{"path_pattern": w.Name + "/**", "permissions": []string{"read", "list"}}}}
}

func (w *World) trust() {
	w.by.TB.Helper()
	for suffix, id := range map[string]*string{"-rule": &w.TrustRule, "-spare": new(string)} {
		var r vaultapi.TrustRule
		w.by.Must(Request{Method: "POST", Path: "/v1/auth/trust-rules", Body: w.rule(suffix)}, &r)
		*id = r.ID
	}
	var list vaultapi.TrustRuleList
	w.by.Must(Request{Path: "/v1/auth/trust-rules?limit=1"}, &list)
	w.TrustCursor = *list.Cursor
}

func (w *World) rule(suffix string) object {
	return object{"name": w.Name + suffix, "cluster": "edge", "namespace": w.Name, "service_account": "app", "scopes": []string{"secrets:read"}}
}

// subscriptions come first, so that one of them holds every event.
func (w *World) subscriptions() {
	w.by.TB.Helper()
	for range 2 {
		var sub vaultapi.Subscription
		w.by.Must(Request{Method: "POST", Path: "/v1/subscriptions", Body: w.subscription()}, &sub)
		w.Subscription = sub.ID
	}
	var list vaultapi.SubscriptionList
	w.by.Must(Request{Path: "/v1/subscriptions?limit=1"}, &list)
	w.SubscriptionCur = *list.Cursor
}

func (w *World) subscription() object {
	return object{"name": w.Name, "paths": []string{w.Name + "/**"}, "events": []string{}, "delivery": object{"type": "polling", "buffer_size": 100_000}}
}

// events waits until the subscription holds the five events of the secrets.
func (w *World) events() {
	w.by.TB.Helper()
	var got vaultapi.Poll
	w.by.Eventually("events of "+w.Name, func() bool {
		w.by.Must(Request{Path: "/v1/subscriptions/" + w.Subscription + "/poll?timeout=1"}, &got)
		return len(got.Events) >= 5
	})
	w.Event = got.Events[0].EventID
}

// Call is the request that an operation is about, with everything in it that the operation takes.
func (w *World) Call(o Operation) Request {
	w.by.TB.Helper()
	calls := w.calls()
	for _, more := range []map[string]Request{w.recipeCalls(), w.rotationCalls(), w.webhookCalls(), w.pkiCalls(), w.slotCalls(), w.revocationCalls(), w.requestCalls()} {
		maps.Copy(calls, more)
	}
	r, ok := calls[o.ID]
	if !ok {
		w.by.TB.Fatalf("operation %s (%s %s) is new: say here how to call it", o.ID, o.Method, o.Path)
	}
	r.Method = o.Method
	return r
}

func (w *World) calls() map[string]Request {
	const secrets, policies, subscriptions, trust = "/v1/secrets/", "/v1/policies/", "/v1/subscriptions/", "/v1/auth/trust-rules/"
	paths := object{"paths": []string{w.Secret, w.Name + "/none"}}
	policy, metadata := w.policy("-new"), object{"metadata": object{"tags": []string{"t"}}}
	bound := policies + w.Policy + "/bindings"
	return map[string]Request{
		"listSecrets":    {Path: "/v1/secrets?" + w.ListQuery() + "&cursor=" + w.ListCursor},
		"batchRead":      {Path: secrets + "batch", Body: paths},
		"batchMetadata":  {Path: secrets + "batch/metadata", Body: object{"paths": []string{w.Name + "/**"}, "expand_wildcards": true}},
		"readSecret":     {Path: secrets + w.Secret},
		"writeSecret":    {Path: secrets + w.Secret, Body: object{"data": object{"password": w.Value}, "options": object{"max_versions": 2}}},
		"patchSecret":    {Path: secrets + w.Secret, Body: metadata},
		"deleteSecret":   {Path: secrets + w.Secret + "?permanent=true"},
		"readMetadata":   {Path: secrets + w.Secret + "/metadata"},
		"updateMetadata": {Path: secrets + w.Secret + "/metadata", Body: metadata},
		"listVersions":   {Path: secrets + w.Secret + "/versions"},
		"restoreSecret":  {Path: secrets + w.Deleted + "/restore"},

		"listPolicies":  {Path: "/v1/policies?limit=1&cursor=" + w.PolicyCursor},
		"createPolicy":  {Path: "/v1/policies", Body: policy},
		"testPolicy":    {Path: policies + "test", Body: object{"identity_id": w.Identity, "path": w.Secret, "permission": "read"}},
		"readPolicy":    {Path: policies + w.Policy},
		"replacePolicy": {Path: policies + w.Policy, Body: w.policy("-replaced")},
		"patchPolicy":   {Path: policies + w.Policy, Body: object{"is_active": false}},
		"deletePolicy":  {Path: policies + w.Policy + "?force=true"},
		"listBindings":  {Path: bound},
		"bindPolicy":    {Path: bound, Body: object{"identity_id": "sa:second-" + w.Name}},
		"unbindPolicy":  {Path: bound + "/" + w.Binding},

		"listAuditLogs":  {Path: "/v1/audit/logs?limit=1&cursor=" + w.AuditCursor},
		"auditSecret":    {Path: "/v1/audit/secrets/" + w.Secret},
		"auditConsumers": {Path: "/v1/audit/consumers/" + w.Secret},
		"auditIdentity":  {Path: "/v1/audit/identities/user:dev?limit=1"},
		"auditSummary":   {Path: "/v1/audit/summary"},
		"verifyAudit":    {Path: "/v1/audit/verify"},

		"listSubscriptions":  {Path: "/v1/subscriptions?limit=1&cursor=" + w.SubscriptionCur},
		"createSubscription": {Path: "/v1/subscriptions", Body: w.subscription()},
		"readSubscription":   {Path: subscriptions + w.Subscription},
		"patchSubscription":  {Path: subscriptions + w.Subscription, Body: object{"paths": []string{w.Name + "/app/**"}}},
		"deleteSubscription": {Path: subscriptions + w.Subscription},
		"pollSubscription":   {Path: subscriptions + w.Subscription + "/poll?timeout=0&since_event_id=" + w.Event},
		"ackSubscription":    {Path: subscriptions + w.Subscription + "/ack", Body: object{"event_ids": []string{w.Event}}},

		"whoami":        {Path: "/v1/auth/whoami"},
		"introspect":    {Path: "/v1/auth/introspect", Body: object{"token": w.by.Token}},
		"exchangeToken": {Path: "/v1/auth/exchange", Body: object{"subject_token": w.workload()}, Anonymous: true},

		"listTrustRules":   {Path: "/v1/auth/trust-rules?limit=1&cursor=" + w.TrustCursor},
		"createTrustRule":  {Path: "/v1/auth/trust-rules", Body: w.rule("-new")},
		"readTrustRule":    {Path: trust + w.TrustRule},
		"replaceTrustRule": {Path: trust + w.TrustRule, Body: w.rule("-replaced")},
		"patchTrustRule":   {Path: trust + w.TrustRule, Body: object{"life": "5m"}},
		"deleteTrustRule":  {Path: trust + w.TrustRule},

		"health": {Path: "/v1/health"}, "ready": {Path: "/v1/health/ready"}, "healthDetailed": {Path: "/v1/health/detailed"},
		"version": {Path: "/v1/version"}, "metrics": {Path: "/v1/metrics"}, "openapi": {Path: "/v1/openapi.json"},
	}
}

// Leave takes the caller's subscriptions and webhooks away: one identity may hold a hundred, a tenant five hundred.
func (w *World) Leave() {
	w.by.TB.Helper()
	var list vaultapi.SubscriptionList
	w.by.Must(Request{Path: "/v1/subscriptions"}, &list)
	for _, sub := range list.Data {
		w.by.Must(Request{Method: "DELETE", Path: "/v1/subscriptions/" + sub.ID}, nil)
	}
	var hooks vaultapi.WebhookList
	w.by.Must(Request{Path: "/v1/webhooks"}, &hooks)
	for _, hook := range hooks.Data {
		w.by.Must(Request{Method: "DELETE", Path: "/v1/webhooks/" + hook.ID}, nil)
	}
	var anchors vaultapi.TrustAnchorList
	w.by.Must(Request{Path: "/v1/pki/trust-anchors"}, &anchors)
	for _, anchor := range anchors.Data {
		w.by.Must(Request{Method: "DELETE", Path: "/v1/pki/trust-anchors/" + anchor.ID}, nil)
	}
}

// Unrecorded tells whether an operation leaves no audit entry and so needs no write: the list is the one of
// TestRoutesWithoutAuditEntry in server/httpapi.
func (o Operation) Unrecorded() bool {
	return strings.Contains(" askOcsp askOcspByGet health healthDetailed metrics openapi readAuthorityDer readRevocationList ready testPolicy version ", " "+o.ID+" ")
}

// View is what the API shows of the world, without what every look changes.
func (w *World) View() string {
	w.by.TB.Helper()
	var b strings.Builder
	for _, path := range []string{
		"/v1/secrets/" + w.Secret, "/v1/secrets/" + w.Secret + "/versions", "/v1/secrets/" + w.Deleted, "/v1/secrets?prefix=" + w.Name + "/",
		"/v1/policies/" + w.Policy, "/v1/policies/" + w.Spare, "/v1/policies/" + w.Policy + "/bindings",
		"/v1/subscriptions/" + w.Subscription, "/v1/subscriptions/" + w.Subscription + "/poll?timeout=0",
		"/v1/auth/trust-rules/" + w.TrustRule, "/v1/auth/trust-rules/" + w.Name + "-spare",
		"/v1/secret-policies/" + w.SecretPolicy, "/v1/secret-policies/" + w.Name + "-spare",
		"/v1/rotation/policies/" + w.RotationPolicy, "/v1/rotation/policies/" + w.RotationPolicy + "/secrets", "/v1/rotation/policies/" + w.RotationPolicy + "/history",
		"/v1/webhooks/" + w.Webhook, "/v1/webhooks/" + w.Webhook + "/deliveries",
		"/v1/pki/ca/" + w.Authority, "/v1/pki/roles/" + w.Name + "-role", "/v1/pki/certificates/" + w.Certificate,
		"/v1/pki/ca/" + w.Authority + "/slots", "/v1/pki/trust-anchors/" + w.Anchor, "/v1/pki/ca-requests/" + w.AuthorityRequest,
		"/v1/pki/csr/" + w.Asked,
	} {
		a := w.by.Do(Request{Path: path})
		if a.Status != http.StatusOK && a.Status != http.StatusNotFound {
			w.by.TB.Errorf("%s: %d %s", path, a.Status, a.Body)
		}
		fmt.Fprintf(&b, "%s: %d %s\n", path, a.Status, stable(a.Body))
	}
	return b.String()
}

// stable leaves out of an answer what changes with every look.
func stable(body []byte) string {
	var v any
	if json.Unmarshal(body, &v) != nil {
		return string(body)
	}
	out, _ := json.Marshal(without(v, "access_count_30d", "last_accessed_at", "request_id", "resume_event_id"))
	return string(out)
}

func without(v any, keys ...string) any {
	switch v := v.(type) {
	case map[string]any:
		for _, k := range keys {
			delete(v, k)
		}
		for k := range v {
			v[k] = without(v[k], keys...)
		}
	case []any:
		for i := range v {
			v[i] = without(v[i], keys...)
		}
	}
	return v
}
