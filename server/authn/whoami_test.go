package authn

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestWhoami(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	who, err := f.Authenticate(t.Context(), f.issue(t, TokenSpec{}).Token)
	if err != nil {
		t.Fatal(err)
	}
	out, err := f.Whoami(t.Context(), who)
	if err != nil {
		t.Fatal(err)
	}
	got, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	want := `{"identity_id":"user:ann@example.org","identity_type":"user","display_name":"laptop","tenant_id":"tnt_default",` +
		`"partner_id":"ptn_default","scopes":["secrets:read"],"groups":[],"roles":[],"mfa_verified_at":null,"token_expires_at":"2027-01-30T12:00:00Z"}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

func TestIntrospect(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		f.trust(t, TrustRule{Name: "home"})
		f.cluster.vouchFor("billing", "app")
		exchanged, err := f.exchange(t, f.jwt(t, nil))
		if err != nil {
			t.Fatal(err)
		}
		live, gone, old := f.issue(t, TokenSpec{}), f.issue(t, TokenSpec{}), f.issue(t, TokenSpec{Life: time.Minute})
		if err := f.Revoke(t.Context(), admin(), gone.ID); err != nil {
			t.Fatal(err)
		}
		f.clock.advance(2 * time.Minute)
		ask := func(who guard.Caller, token string) vaultapi.Introspection {
			out, err := f.Introspect(t.Context(), who, vaultapi.IntrospectRequest{Token: token})
			if err != nil {
				t.Fatal(err)
			}
			return out
		}
		if got := ask(admin(), live.Token); !got.Active || got.IdentityID != "user:ann@example.org" || got.ExpiresAt == nil || got.IssuedAt == nil {
			t.Errorf("live token: %+v", got)
		}
		if got := ask(admin(), exchanged.AccessToken); !got.Active || got.IdentityID != "sa:billing:app" {
			t.Errorf("exchanged token: %+v", got)
		}
		for name, token := range map[string]string{"revoked": gone.Token, "expired": old.Token, "unknown": mint(prefixPersonal), "garbage": "x", "JWT": f.jwt(t, nil)} {
			if d := cmp.Diff(vaultapi.Introspection{}, ask(admin(), token)); d != "" {
				t.Errorf("%s token says more than that it is not active: %s", name, d)
			}
		}
		if d := cmp.Diff(vaultapi.Introspection{}, ask(guard.System("administrator", otherTenant), live.Token)); d != "" {
			t.Errorf("another tenant's token: %s", d)
		}
		_, err = f.Introspect(t.Context(), guard.Caller{Tenant: guard.DefaultTenant, Scopes: []string{"secrets:read"}}, vaultapi.IntrospectRequest{Token: live.Token})
		wantCode(t, err, fault.CodeInsufficientScope)
		_, err = f.Introspect(t.Context(), admin(), vaultapi.IntrospectRequest{})
		wantCode(t, err, fault.CodeInvalidRequest)
	})
}

func TestResolveTenant(t *testing.T) {
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)))
	plain := guard.Caller{Tenant: guard.DefaultTenant, Partner: guard.DefaultPartner, Scopes: Scopes(), Roles: []string{RoleTenantAdmin}}
	partner, super := plain, plain
	partner.Roles, super.Roles = []string{RolePartnerAdmin}, []string{guard.RoleSuperAdmin}
	tests := map[string]struct {
		who       guard.Caller
		requested string
		want      string
		code      string
	}{
		"none":                        {plain, "", guard.DefaultTenant, ""},
		"his own":                     {plain, guard.DefaultTenant, guard.DefaultTenant, ""},
		"another":                     {plain, otherTenant, "", fault.CodeTenantAccessDenied},
		"unknown, and he may not ask": {plain, "tnt_nowhere", "", fault.CodeTenantAccessDenied},
		"of the same partner":         {partner, otherTenant, otherTenant, ""},
		"by a super_admin":            {super, otherTenant, otherTenant, ""},
		"of another partner":          {partner, foreignTenant, "", fault.CodeTenantAccessDenied},
		"unknown":                     {partner, "tnt_nowhere", "", fault.CodeTenantNotFound},
		"path tricks":                 {partner, "../tnt_other", "", fault.CodeTenantNotFound},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			got, err := f.ResolveTenant(t.Context(), tc.who, tc.requested)
			wantCode(t, err, tc.code)
			if got.Tenant != tc.want {
				t.Errorf("tenant is %q, want %q", got.Tenant, tc.want)
			}
		})
	}
}
