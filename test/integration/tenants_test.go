package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	victim    = "tnt_victim" // of the attackers' own partner
	elsewhere = "tnt_else"   // of another partner
	theirs    = "theirs"     // in every name that the victim gives
	agent     = "agent of the victim"
	canary    = "canary0value0must0not0leave"
)

// harmless are the inputs that name nothing that another tenant could own. An input that is neither here nor in
// foreign fails the test: say what it is.
var harmless = strings.Fields(`action active allowed_paths[] audience cluster context.mfa_verified context.namespace context.source_ip
	context.timestamp data delivery.buffer_size delivery.type description events[] expand_wildcards expires_at
	expiring_within fields[].config fields[].generator fields[].name force from grant_type identity identity_type include_inactive include_metadata is_active life limit max_events
	key request metadata name options.cas_version options.expires_in options.fail_fast options.include_metadata options.max_versions
	options.version owner permanent permission policy_type requested_role role rules[].conditions.ip_ranges[]
	rules[].conditions.require_mfa rules[].conditions.time_window.days[] rules[].conditions.time_window.end
	rules[].conditions.time_window.start rules[].conditions.time_window.timezone rules[].path_pattern
	rules[].permissions[] scope scopes[] secret_type service_account source_ip subject_token subject_token_type success timeout to version view
	active_only auto_generate cron delivery.secret delivery.url enabled ends_at ends_in filters.path_prefix filters.secret_type filters.tags[]
	generate.fields[].config generate.fields[].generator generate.fields[].name grace_hold grace_period include_overdue interval
	options.notify_before[] previous_secret_ttl reason
	allow_email_sans allow_ip_sans allow_subdomains allowed_domains[] allowed_uris[] alt_names[] ca_type common_name csr_pem excluded_dns_domains[]
	excluded_ip_ranges[] include_revoked ip_sans[] key_bits key_size key_type max_path_length max_ttl permitted_dns_domains[] permitted_ip_ranges[]
	certificate_pem chain_pem check_revocation comment
	require_cn store_private_keys ttl validity_days secret spread status time_zone url warn_before[] window within_hours`)

// swap is what an attacker puts in the place of its own, and the code that this must be answered with; "" where
// the call itself is in order and its answer must know nothing of the victim.
type swap struct{ from, to, code string }

// foreign gives the swaps for an input of an operation.
func foreign(o vault.Operation, input string, own, other *vault.World) []swap {
	there := other.Name + "/app/db"
	switch input {
	case "id":
		switch {
		case strings.HasPrefix(o.Path, "/v1/policies/"):
			return []swap{{own.Policy, other.Policy, "policy_not_found"}, {own.Policy, other.Name + "-read", "policy_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/secret-policies/"):
			return []swap{
				{own.SecretPolicy, other.SecretPolicy, "secret_policy_not_found"}, {own.SecretPolicy, other.Name + "-recipe", "secret_policy_not_found"},
			}
		case strings.HasPrefix(o.Path, "/v1/rotation/policies/"):
			return []swap{
				{own.RotationPolicy, other.RotationPolicy, "rotation_policy_not_found"}, {own.RotationPolicy, other.Name + "-rotation", "rotation_policy_not_found"},
			}
		case public(o) && strings.HasPrefix(o.Path, "/v1/pki/"): // what certificates name is everybody's; by name nothing is found
			return []swap{{own.Authority, other.Authority, ""}, {own.Authority, other.Name + "-root", "ca_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/pki/ca/"):
			return []swap{{own.Authority, other.Authority, "ca_not_found"}, {own.Authority, other.Name + "-root", "ca_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/pki/trust-anchors/"):
			return []swap{{own.Anchor, other.Anchor, "trust_anchor_not_found"}, {own.Anchor, other.Name + "-anchor", "trust_anchor_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/pki/csr/"):
			return []swap{{strings.Split(own.Call(o).Path, "/")[4], other.Asked, "csr_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/pki/ca-requests/"):
			return []swap{{strings.Split(own.Call(o).Path, "/")[4], other.AuthorityRequest, "ca_request_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/pki/certificates/"):
			return []swap{{own.Certificate, other.Certificate, "certificate_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/webhooks/"):
			return []swap{{own.Webhook, other.Webhook, "webhook_not_found"}, {own.Webhook, other.Name + "-hook", "webhook_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/subscriptions/"):
			return []swap{{own.Subscription, other.Subscription, "subscription_not_found"}}
		case strings.HasPrefix(o.Path, "/v1/auth/trust-rules/"):
			return []swap{{own.TrustRule, other.TrustRule, "trust_rule_not_found"}, {own.TrustRule, other.Name + "-rule", "trust_rule_not_found"}}
		case o.ID == "auditIdentity":
			return []swap{{"user:dev", "user:" + theirs, ""}}
		}
	case "webhook_ids[]":
		return []swap{{own.Webhook, other.Webhook, "validation_error"}}
	case "name", "role":
		if strings.HasPrefix(o.Path, "/v1/pki/") && strings.HasSuffix(o.Path, "{"+input+"}") {
			return []swap{{own.Name + "-role", other.Name + "-role", "role_not_found"}}
		}
		if o.ID == "submitCertificateRequest" {
			return []swap{{own.Name + "-spare", other.Name + "-role", "role_not_found"}}
		}
	case "slot":
		return []swap{{own.Slot, other.Slot, "slot_not_found"}, {own.OldSlot, other.OldSlot, "slot_not_found"}}
	case "ca_id":
		if o.ID == "requestAuthority" {
			return []swap{{`"key_type":"ec"`, `"ca_id":"` + other.Authority + `"`, "ca_not_found"}, {`"key_type":"ec"`, `"ca_id":"` + other.Name + `-root"`, "ca_not_found"}}
		}
		return []swap{{own.Authority, other.Authority, "ca_not_found"}, {"&cursor=" + own.CertificateCursor, "&ca_id=" + other.Authority, "ca_not_found"}}
	case "parent_ca_id":
		return []swap{{own.Authority, other.Authority, "ca_not_found"}}
	case "serial_number":
		return []swap{{own.Serial, other.Serial, "certificate_not_found"}}
	case "certificate_id":
		return []swap{{`"serial_number":"` + own.Serial + `"`, `"certificate_id":"` + other.Certificate + `"`, "certificate_not_found"}}
	case "binding_id":
		return []swap{{own.Binding, other.Binding, "binding_not_found"}}
	case "cursor":
		return []swap{
			{own.ListCursor, other.ListCursor, "invalid_cursor"}, {own.PolicyCursor, other.PolicyCursor, "invalid_cursor"},
			{own.TrustCursor, other.TrustCursor, "invalid_cursor"}, {own.SecretPolicyCursor, other.SecretPolicyCursor, "invalid_cursor"},
			{own.RotationCursor, other.RotationCursor, "invalid_cursor"}, {own.AssignmentCursor, other.AssignmentCursor, "invalid_cursor"},
			{own.HistoryCursor, other.HistoryCursor, "invalid_cursor"}, {own.DueCursor, other.DueCursor, "invalid_cursor"},
			{"cursor=" + own.WebhookCursor, "cursor=" + other.WebhookCursor, ""}, {"cursor=" + own.DeliveryCursor, "cursor=" + other.DeliveryCursor, ""},
			{own.AuthorityCursor, other.AuthorityCursor, "invalid_cursor"}, {own.RoleCursor, other.RoleCursor, "invalid_cursor"},
			{own.CertificateCursor, other.CertificateCursor, "invalid_cursor"}, {own.AnchorCursor, other.AnchorCursor, "invalid_cursor"},
			{own.AuthorityRequestCursor, other.AuthorityRequestCursor, "invalid_cursor"}, {own.AskedCursor, other.AskedCursor, "invalid_cursor"},
			{own.AuditCursor, other.AuditCursor, "invalid_cursor"}, {"cursor=" + own.SubscriptionCur, "cursor=" + other.SubscriptionCur, ""},
			{"/" + own.Secret, "/" + own.Secret + "?cursor=" + other.AuditCursor, "invalid_cursor"},
			{"user:dev?limit=1", "user:dev?limit=1&cursor=" + other.AuditCursor, "invalid_cursor"},
		}
	case "generate_from":
		data := `"data":{"password":"` + own.Value + `"}`
		return []swap{
			{data, `"generate_from":"` + other.SecretPolicy + `"`, "secret_policy_not_found"},
			{data, `"generate_from":"` + other.Name + `-recipe"`, "secret_policy_not_found"},
		}
	case "secret_path":
		return []swap{{own.Name + "/app/free", other.Name + "/app/free", "secret_not_found"}}
	case "secret_paths[]":
		return []swap{{own.Name + "/app/spun", other.Name + "/app/spun", ""}} // what befell a path is in its item
	case "secret_policy_id":
		return []swap{
			{`"interval":"30d"`, `"interval":"30d","secret_policy_id":"` + other.SecretPolicy + `"`, "secret_policy_not_found"},
			{`"description":"d"`, `"secret_policy_id":"` + other.Name + `-recipe"`, "secret_policy_not_found"},
		}
	case "policy_id":
		return []swap{{"&limit=1&cursor=" + own.DueCursor, "&policy_id=" + other.RotationPolicy, "rotation_policy_not_found"}}
	case "options.rotation_policy_id":
		return []swap{{`"max_versions":2`, `"rotation_policy_id":"` + other.RotationPolicy + `"`, "rotation_policy_not_found"}}
	case "event_ids[]", "since_event_id":
		return []swap{{own.Event, other.Event, ""}}
	case "token":
		return []swap{{"", "", ""}} // TestTokensOfAnotherTenant
	case "path":
		switch o.ID {
		case "detachSecret":
			return []swap{{own.Name + "/app/loose", other.Name + "/app/loose", "assignment_not_found"}}
		case "moveGrace":
			return []swap{{own.Name + "/app/turned", other.Name + "/app/turned", "assignment_not_found"}}
		case "rotateSecret":
			return []swap{{own.Name + "/app/spun", other.Name + "/app/spun", "secret_not_found"}}
		}
		code := map[bool]string{true: "secret_not_found"}[strings.HasPrefix(o.Path, "/v1/secrets/") && o.ID != "writeSecret" || o.ID == "auditConsumers"]
		return []swap{
			{own.Secret, there, code}, {own.Deleted, other.Deleted, code},
			{"?limit=1&cursor=" + own.PolicyCursor, "?permission=read&path=" + there, ""},
		}
	case "paths[]":
		return []swap{{own.Secret, there, ""}, {own.Name + "/**", other.Name + "/**", ""}, {own.Name + "/app/**", other.Name + "/app/**", ""}}
	case "identity_id":
		return []swap{{own.Identity, other.Identity, ""}, {"sa:second-" + own.Name, other.Identity, ""}, more("identity_id=user:" + theirs)}
	case "request_id":
		return []swap{more("request_id=" + theirs)}
	case "path_prefix":
		return []swap{more("path_prefix=" + other.Name)}
	case "namespace":
		if o.ID == "patchTrustRule" {
			return []swap{{`"life":"5m"`, `"namespace":"` + other.Name + `"`, "trust_rule_exists"}}
		}
		return []swap{{own.Name, other.Name, "trust_rule_exists"}}
	case "prefix":
		return []swap{{own.ListQuery() + "&cursor=" + own.ListCursor, other.ListQuery(), ""}}
	}
	return nil
}

// public tells whether an operation needs no token. httpapi's TestRoutesWithoutToken says of the same ones that no other does.
func public(o vault.Operation) bool {
	return slices.Contains([]string{"health", "ready", "version", "openapi", "metrics", "exchangeToken",
		"readRevocationList", "readAuthorityDer", "askOcsp", "askOcspByGet"}, o.ID)
}

// more is a swap that adds to the query of an audit query.
func more(query string) swap { return swap{"", query, ""} }

// apply makes the swap in an attacker's own call; false where the call does not hold what is swapped.
func (s swap) apply(r vault.Request) (vault.Request, bool) {
	if s.from == "" {
		path, query, _ := strings.Cut(r.Path, "?")
		if !strings.HasPrefix(path, "/v1/audit/") {
			return r, false
		}
		kept := slices.DeleteFunc(strings.Split(query, "&"), func(q string) bool { return strings.HasPrefix(q, "cursor=") })
		r.Path = path + "?" + strings.Join(append(kept, s.to), "&")
		return r, true
	}
	body, err := json.Marshal(r.Body)
	if err != nil {
		panic(err) // a test's own literal
	}
	path, text := strings.ReplaceAll(r.Path, s.from, s.to), strings.ReplaceAll(string(body), s.from, s.to)
	changed := path != r.Path || text != string(body)
	r.Path = path
	if r.Body != nil {
		r.Body = text
	}
	return r, changed
}

// TestMistake18IDsOfAnotherTenant gives every operation, in the place of each id that it accepts, that of another
// tenant's object. The operations and their inputs come from the OpenAPI document, so that a new one cannot be
// forgotten. The attackers are a super administrator of the same partner, who even has the victim's identity, and
// a person who may do everything in its own tenant. Nothing is found, nothing leaks, nothing of the victim changes.
func TestMistake18IDsOfAnotherTenant(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		w := newTenants(t, s)
		for name, attacker := range map[string]vault.Caller{"super": s.Caller, "person": s.As(w.mallory.Token)} {
			for _, o := range s.Operations() {
				a := &attack{t: t, who: name, by: attacker, own: s.World(attacker, name+"-"+strings.ToLower(o.ID), "own value"), tenants: w}
				a.run(o)
				a.own.Leave()
			}
		}
		w.unharmed("all of it")
	})
}

// tenants is the scene: a victim, its world, and what its rows were.
type tenants struct {
	t       *testing.T
	s       *vault.Composed
	db      *vault.Database
	mallory authn.IssuedToken
	token   authn.IssuedToken // of a person of the victim's
	world   *vault.World
	rows    map[string][]string
}

func newTenants(t *testing.T, s *vault.Composed) *tenants {
	t.Helper()
	w := &tenants{t: t, s: s, db: s.Database()}
	w.db.Tenant(victim, guard.DefaultPartner)
	w.db.Tenant(elsewhere, "ptn_else")
	w.mallory = s.Person(authn.TokenSpec{Name: "m", Identity: "user:mallory", Scopes: authn.Scopes()})
	s.Allow("user:mallory", "**")
	w.token = s.Person(authn.TokenSpec{Name: theirs, Identity: "user:" + theirs, Scopes: authn.Scopes()})
	w.db.Exec(`UPDATE tokens SET tenant = '` + victim + `' WHERE id = '` + w.token.ID + `'`)
	w.world = s.World(s.In(victim), theirs, canary)
	theirOwn := s.As(w.token.Token)
	theirOwn.Must(vault.Request{Path: "/v1/auth/whoami", Header: map[string]string{"X-Request-ID": theirs, "User-Agent": agent}}, nil)
	w.db.Settle(s.Caller)
	w.rows = w.state()
	return w
}

func (w *tenants) state() map[string][]string {
	rows := w.db.RowsOf(victim)
	delete(rows, "tokens") // their last use
	return rows
}

// unharmed compares the victim's rows with what they were.
func (w *tenants) unharmed(after string) {
	w.t.Helper()
	if d := cmp.Diff(w.rows, w.state()); d != "" {
		w.t.Errorf("%s changed the victim's rows:\n%s", after, d)
	}
}

// attack is one attacker with a world of its own.
type attack struct {
	*tenants

	t   *testing.T
	who string
	by  vault.Caller
	own *vault.World
}

func (a *attack) run(o vault.Operation) {
	a.t.Helper()
	for _, input := range o.Inputs {
		swaps := foreign(o, input, a.own, a.world)
		if len(swaps) == 0 {
			if !slices.Contains(harmless, input) {
				a.t.Errorf("%s takes %s: does that name something that another tenant can own?", o.ID, input)
			}
			continue
		}
		made := input == "token"
		for _, swap := range swaps {
			if r, ok := swap.apply(a.own.Call(o)); ok {
				made = true
				a.try(o, input, r, swap)
			}
		}
		if !made {
			a.t.Errorf("%s takes %s, and no swap put another tenant's there", o.ID, input)
		}
	}
	a.unharmed(o.ID)
}

func (a *attack) try(o vault.Operation, input string, r vault.Request, s swap) {
	a.t.Helper()
	got := a.by.Do(r)
	what := fmt.Sprintf("%s: %s with %s of another tenant (%s)", a.who, o.ID, input, r.Path)
	if s.code != "" && (got.Code() != s.code || got.Status/100 != 4) || s.code == "" && got.Status/100 != 2 {
		a.t.Errorf("%s: %d %s, want %q", what, got.Status, got.Body, s.code)
	}
	for _, secret := range a.unmentioned() {
		if strings.Contains(string(got.Body), secret) {
			a.t.Errorf("%s shows %s: %s", what, secret, got.Body)
		}
	}
	if o.ID == "writeSecret" && got.Status == http.StatusCreated { // a secret of the same path, but its own
		a.by.Must(vault.Request{Method: "DELETE", Path: r.Path + "?permanent=true"}, nil)
	}
}

// unmentioned is what is the victim's and what no attacker says itself, so that it may not even be in the trail
// of what the attackers tried.
func (w *tenants) unmentioned() []string {
	return []string{canary, theirs + "/app/third", theirs + "-spare", w.world.Spare, agent}
}

// TestActingForAnotherTenant: only an administrator of the partner may name another tenant, by header or prefix,
// and only one of the same partner. Nobody else learns which tenants there are.
func TestActingForAnotherTenant(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		w := newTenants(t, s)
		mallory := s.As(w.mallory.Token)
		own := s.World(mallory, "mallory", "own value")
		for _, o := range s.Operations() {
			if public(o) {
				continue // nobody's
			}
			for _, tenant := range []string{victim, elsewhere, "tnt_none"} {
				byHeader, byPrefix := own.Call(o), w.world.Call(o)
				byHeader.Header = map[string]string{"X-Tenant-ID": tenant}
				byPrefix.Path = "/v1/t/" + tenant + strings.TrimPrefix(byPrefix.Path, "/v1")
				for how, r := range map[string]vault.Request{"header": byHeader, "prefix": byPrefix} {
					if got := mallory.Do(r); got.Status != http.StatusForbidden || got.Code() != "tenant_access_denied" {
						t.Errorf("%s for %s by %s: %d %s", o.ID, tenant, how, got.Status, got.Body)
					}
				}
			}
			r := own.Call(o)
			r.Header = map[string]string{"X-Tenant-ID": elsewhere}
			if got := s.Do(r); got.Status != http.StatusForbidden || got.Code() != "tenant_access_denied" {
				t.Errorf("%s for another partner's tenant: %d %s", o.ID, got.Status, got.Body)
			}
			r.Header = map[string]string{"X-Tenant-ID": "tnt_none"}
			if got := s.Do(r); got.Code() != "tenant_not_found" {
				t.Errorf("%s for no tenant: %d %s", o.ID, got.Status, got.Body)
			}
		}
		w.unharmed("asking")
		for _, tenant := range []string{"", "tnt_other%2f..", "../x", "TNT_VICTIM", strings.Repeat("a", 65), "tnt_victim ", "tnt_victim\t"} {
			r := vault.Request{Path: "/v1/secrets", Header: map[string]string{"X-Tenant-ID": tenant}}
			if got := mallory.Do(r); tenant != "" && !strings.HasPrefix(tenant, "tnt_victim") && got.Status/100 != 4 {
				t.Errorf("tenant %q: %d %s", tenant, got.Status, got.Body)
			} else if strings.Contains(string(got.Body), theirs) {
				t.Errorf("tenant %q: %s", tenant, got.Body)
			}
		}
		// The same calls are in order for whoever may make them: otherwise the above would prove nothing.
		admin := s.In(victim)
		for _, o := range s.Operations() {
			if !strings.Contains(o.ID, "delete") && !strings.Contains(o.ID, "unbind") && o.ID != "revokeAuthority" {
				admin.Must(w.world.Call(o), nil)
			}
		}
	})
}

// TestEqualPathsAreUnrelated: the same path in two tenants is two secrets.
func TestEqualPathsAreUnrelated(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		w := newTenants(t, s)
		here, there := s.Caller, s.In(victim)
		const path = "/v1/secrets/theirs/app/db"
		if got := here.Do(vault.Request{Path: path}); got.Code() != "secret_not_found" {
			t.Errorf("before it was written here: %d %s", got.Status, got.Body)
		}
		if got := here.Do(vault.Request{Method: "PUT", Path: path, Body: object{"data": object{"password": "mine"}}}); got.Status != http.StatusCreated {
			t.Errorf("%d %s", got.Status, got.Body)
		}
		for range 3 { // from memory, too
			if got := string(here.Must(vault.Request{Path: path}, nil).Body); !strings.Contains(got, "mine") || strings.Contains(got, canary) {
				t.Errorf("here: %s", got)
			}
			if got := string(there.Must(vault.Request{Path: path}, nil).Body); !strings.Contains(got, canary) || strings.Contains(got, "mine") {
				t.Errorf("there: %s", got)
			}
		}
		here.Must(vault.Request{Method: "DELETE", Path: path + "?permanent=true"}, nil)
		there.Must(vault.Request{Path: path}, nil)
		w.unharmed("a life beside it")
		// Events and audit entries stay apart, too.
		for _, read := range []string{"/v1/audit/logs?limit=1000", "/v1/audit/secrets/theirs/app/db?limit=1000", "/v1/audit/summary"} {
			if got := string(here.Must(vault.Request{Path: read}, nil).Body); strings.Contains(got, w.world.Policy) || strings.Contains(got, "theirs/app/old") {
				t.Errorf("%s shows another tenant's trail", read)
			}
		}
	})
}

// TestTokensOfAnotherTenant: a token is good in its own tenant only, and for others it does not exist.
func TestTokensOfAnotherTenant(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		w := newTenants(t, s)
		for name, by := range map[string]vault.Caller{"super": s.Caller, "person": s.As(w.mallory.Token)} {
			var got map[string]any
			by.Must(vault.Request{Method: "POST", Path: "/v1/auth/introspect", Body: object{"token": w.token.Token}}, &got)
			if d := cmp.Diff(map[string]any{"active": false}, got); d != "" {
				t.Errorf("%s learns of a token: %s", name, d)
			}
		}
		their := s.As(w.token.Token)
		if got := their.Do(vault.Request{Path: "/v1/auth/whoami"}); !strings.Contains(string(got.Body), victim) {
			t.Errorf("whoami: %s", got.Body)
		}
		if got := their.Do(vault.Request{Path: "/v1/secrets/" + w.world.Secret}); got.Code() != "access_denied" {
			t.Errorf("a policy of another tenant let a person of the victim's in: %d %s", got.Status, got.Body)
		}
	})
}
