package pki_test

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/pki"
)

// of is a caller of a cluster with more scopes.
func of(who guard.Caller, cluster string, scopes ...string) guard.Caller {
	who.Cluster, who.Scopes = cluster, append(scopes, who.Scopes...)
	return who
}

// signedFor has a certificate signed for an owner, as an issuer of a cluster.
func (w *world) signedFor(cluster, owner string) (string, error) {
	w.Helper()
	names := x509.CertificateRequest{Subject: pkix.Name{CommonName: "a.example.com"}, DNSNames: []string{"a.example.com"}}
	csr := request(w, names, key(w))
	got, err := w.Sign(w.Context(), of(issuer, cluster), "web", vaultapi.CertificateSign{CSRPEM: csr, Owner: owner})
	return got.ID, err
}

// listed are the ids of what a caller is shown of an owner, page by page, or the code of the refusal.
func (w *world) listed(who guard.Caller, owner string) string {
	w.Helper()
	var ids []string
	for cursor := ""; ; {
		l, err := w.Certificates(w.Context(), who, pki.CertificateQuery{Owner: owner, Limit: 1, Cursor: cursor})
		if err != nil {
			return fault.Code(err)
		}
		for _, x := range l.Certificates {
			if x.Owner != owner && !strings.HasPrefix(x.Owner, owner+"/") {
				w.Errorf("%s is of %s, asked for %s", x.ID, x.Owner, owner)
			}
			ids = append(ids, x.ID)
		}
		if l.Cursor == nil {
			return strings.Join(ids, " ")
		}
		cursor = *l.Cursor
	}
}

// A cluster lists and revokes what was issued for its own objects, and nothing else, whatever it claims.
func TestCertificatesOfACluster(t *testing.T) {
	each(t, func(w *world) {
		ids := map[string]string{}
		for _, owner := range []string{
			"k8s:home/Certificate/shop/web/1", "k8s:home/Certificate/shop/web/2", "k8s:home/Certificate/shop-b/web/3", "k8s:edge/Certificate/shop/web/4", "",
		} {
			cluster, _, _ := strings.Cut(strings.TrimPrefix(owner, "k8s:"), "/")
			if owner == "" {
				cluster = "home"
			}
			id, err := w.signedFor(cluster, owner)
			if err != nil {
				t.Fatal(err)
			}
			ids[owner] = id
		}
		one, two, three, edges := ids["k8s:home/Certificate/shop/web/1"], ids["k8s:home/Certificate/shop/web/2"], ids["k8s:home/Certificate/shop-b/web/3"], ids["k8s:edge/Certificate/shop/web/4"]
		home, edge := of(poor, "home", pki.ScopeRelease), of(poor, "edge", pki.ScopeRelease)
		for _, x := range []struct {
			who         guard.Caller
			owner, want string
		}{
			{home, "k8s:home", three + " " + one + " " + two}, {home, "k8s:home/Certificate/shop", one + " " + two}, {home, "k8s:home/Certificate/shop/web/2", two},
			{edge, "k8s:edge/Certificate", edges}, {admin, "k8s:edge", edges}, {home, "k8s:home/VaultPolicy", ""}, {home, "k8s:home/Certificate/sho", ""},
			{home, "k8s:edge", "forbidden"}, {edge, "k8s:home", "forbidden"}, {home, "k8s:hom", "forbidden"}, {home, "k8s:", "forbidden"}, {home, "%", "forbidden"},
			{guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:a@acme.example", Scopes: []string{"owned:release"}}, "k8s:home", "forbidden"},
			{guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:a:b", Cluster: "home", Scopes: []string{"secrets:read"}}, "k8s:home", "insufficient_scope"},
		} {
			if got := w.listed(x.who, x.owner); got != x.want {
				w.Errorf("%s lists %q: %q, want %q", x.who.ID, x.owner, got, x.want)
			}
		}
		for _, x := range []struct {
			who             guard.Caller
			id, owner, want string
		}{
			{home, one, "", "certificate_not_found"}, {home, one, "k8s:home/Certificate/shop/web/2", "certificate_not_found"},
			{home, ids[""], "", "certificate_not_found"}, {home, ids[""], "k8s:home/Certificate/shop/web/1", "certificate_not_found"},
			{home, edges, "k8s:edge/Certificate/shop/web/4", "forbidden"}, {edge, one, "k8s:home/Certificate/shop/web/1", "forbidden"},
			{of(issuer, "home"), one, "k8s:home/Certificate/shop/web/1", "insufficient_scope"},
			{home, one, "k8s:home/Certificate/shop/web/1", ""}, {home, one, "k8s:home/Certificate/shop/web/1", ""}, {admin, three, "", ""},
		} {
			_, err := w.Revoke(w.Context(), x.who, vaultapi.CertificateRevoke{CertificateID: x.id, Owner: x.owner, Reason: "cessation_of_operation"})
			if got := fault.Code(err); got != x.want {
				w.Errorf("%s revokes one of %q: %q, want %q", x.who.ID, x.owner, got, x.want)
			}
		}
		if got := w.listed(home, "k8s:home"); got != two {
			w.Errorf("what is good still: %s", got)
		}
		all, err := w.Certificates(w.Context(), home, pki.CertificateQuery{Owner: "k8s:home", IncludeRevoked: true})
		if err != nil {
			t.Fatal(err)
		}
		var states []string
		for _, x := range all.Certificates {
			states = append(states, x.Status)
		}
		if !slices.Equal(states, []string{"revoked", "revoked", "active"}) {
			w.Errorf("with what is revoked: %v", states)
		}
	})
}

// Nobody has a certificate recorded as another cluster's, which that one would then revoke.
func TestOwnersOfOthers(t *testing.T) {
	each(t, func(w *world) {
		for owner, want := range map[string]string{
			"k8s:edge/Certificate/shop/web/1": "forbidden", "k8s:home/Certificate/shop/web": "validation_error", "home": "validation_error",
			"k8s:home/Certificate/shop/web/1 ": "validation_error", fmt.Sprintf("k8s:home/Certificate/shop/%0600d/1", 0): "validation_error",
		} {
			if _, err := w.signedFor("home", owner); fault.Code(err) != want {
				w.Errorf("%.60q: %v, want %s", owner, err, want)
			}
		}
		if got := w.listed(admin, "k8s:edge"); got != "" {
			w.Errorf("there is %s", got)
		}
	})
}
