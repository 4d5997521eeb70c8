package pki_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/pki"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// silent keeps nothing of what is recorded and announced.
type silent struct{}

func (silent) Append(context.Context, ...guard.Entry) error { return nil }
func (silent) Stage(*store.Tx, ...guard.Entry)              {}
func (silent) Emit(*store.Tx, ...guard.Event) error         { return nil }

// clusters is the service on a real database, with role svc, an issuer and an operator in each of two clusters, and an
// administrator.
type clusters struct {
	*testing.T
	*pki.Service
	issuers, operators map[string]guard.Caller
	admin              guard.Caller
}

func eachClusters(t *testing.T, test func(c *clusters)) {
	t.Helper()
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		root, err := seal.NewRootKey()
		c := &clusters{T: t, issuers: map[string]guard.Caller{}, operators: map[string]guard.Caller{}}
		c.must(err)
		keys, err := seal.Open(t.Context(), db, root)
		c.must(err)
		sets := guardtest.NewSets(t)
		for _, cluster := range []string{"home", "edge"} {
			c.issuers[cluster] = guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:" + cluster + ":shop:issuer", Cluster: cluster, Scopes: []string{"pki:issue"}}
			c.operators[cluster] = guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:" + cluster + ":system:operator", Cluster: cluster, Scopes: []string{"pki:issue", "owned:release"}}
		}
		sets.Grant(t, guardtest.Rule(c.issuers["home"], "pki:svc", policy.Issue), guardtest.Rule(c.issuers["edge"], "pki:svc", policy.Issue))
		c.admin = guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:admin@acme.example", Scopes: []string{"pki:admin"}}
		noon := time.Date(2026, time.November, 24, 12, 0, 0, 0, time.UTC)
		g := &guard.Guard{DB: db, Audit: silent{}, Events: silent{}, Sets: sets, Now: func() time.Time { return noon }}
		c.Service = pki.New(pki.Deps{DB: db, Guard: g, Keys: keys})
		_, err = c.CreateAuthority(t.Context(), c.admin, vaultapi.AuthorityWrite{Name: "root", CommonName: "root", CAType: "root", KeyType: "ec"})
		c.must(err)
		off := false
		_, err = c.CreateRole(t.Context(), c.admin, vaultapi.PKIRoleWrite{Name: "svc", CAID: "root", AllowedDomains: []string{"example.com"}, AllowSubdomains: true, RequireCN: &off})
		c.must(err)
		test(c)
	})
}

func (c *clusters) must(err error) {
	c.Helper()
	if err != nil {
		c.Fatal(err)
	}
}

// signed has a certificate signed for an owner.
func (c *clusters) signed(cluster, owner string) (string, error) {
	c.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	c.must(err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: []string{"web.example.com"}}, key)
	c.must(err)
	csr := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
	got, err := c.Sign(c.Context(), c.issuers[cluster], "svc", vaultapi.CertificateSign{CSRPEM: csr, Owner: owner})
	return got.ID, err
}

// listed are the ids of what a caller is shown of an owner, page by page, or the code of the refusal.
func (c *clusters) listed(who guard.Caller, owner string) string {
	c.Helper()
	var ids []string
	for cursor := ""; ; {
		l, err := c.Certificates(c.Context(), who, pki.CertificateQuery{Owner: owner, Limit: 1, Cursor: cursor})
		if err != nil {
			return fault.Code(err)
		}
		for _, x := range l.Certificates {
			if x.Owner != owner && !strings.HasPrefix(x.Owner, owner+"/") {
				c.Errorf("%s is of %s, asked for %s", x.ID, x.Owner, owner)
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
	eachClusters(t, func(c *clusters) {
		ids := map[string]string{}
		for _, owner := range []string{
			"k8s:home/Certificate/shop/web/1", "k8s:home/Certificate/shop/web/2", "k8s:home/Certificate/shop-b/web/3", "k8s:edge/Certificate/shop/web/4", "",
		} {
			cluster, _, _ := strings.Cut(strings.TrimPrefix(owner, "k8s:"), "/")
			if owner == "" {
				cluster = "home"
			}
			id, err := c.signed(cluster, owner)
			c.must(err)
			ids[owner] = id
		}
		one, two, three, edges := ids["k8s:home/Certificate/shop/web/1"], ids["k8s:home/Certificate/shop/web/2"], ids["k8s:home/Certificate/shop-b/web/3"], ids["k8s:edge/Certificate/shop/web/4"]
		home, edge := c.operators["home"], c.operators["edge"]
		for _, x := range []struct {
			who         guard.Caller
			owner, want string
		}{
			{home, "k8s:home", three + " " + one + " " + two}, {home, "k8s:home/Certificate/shop", one + " " + two}, {home, "k8s:home/Certificate/shop/web/2", two},
			{edge, "k8s:edge/Certificate", edges}, {c.admin, "k8s:edge", edges}, {home, "k8s:home/VaultPolicy", ""}, {home, "k8s:home/Certificate/sho", ""},
			{home, "k8s:edge", "forbidden"}, {edge, "k8s:home", "forbidden"}, {home, "k8s:hom", "forbidden"}, {home, "k8s:", "forbidden"}, {home, "%", "forbidden"},
			{guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:a@acme.example", Scopes: []string{"owned:release"}}, "k8s:home", "forbidden"},
			{guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:a:b", Cluster: "home", Scopes: []string{"secrets:read"}}, "k8s:home", "insufficient_scope"},
		} {
			if got := c.listed(x.who, x.owner); got != x.want {
				t.Errorf("%s lists %q: %q, want %q", x.who.ID, x.owner, got, x.want)
			}
		}
		for _, x := range []struct {
			who             guard.Caller
			id, owner, want string
		}{
			{home, one, "", "certificate_not_found"}, {home, one, "k8s:home/Certificate/shop/web/2", "certificate_not_found"},
			{home, ids[""], "", "certificate_not_found"}, {home, ids[""], "k8s:home/Certificate/shop/web/1", "certificate_not_found"},
			{home, edges, "k8s:edge/Certificate/shop/web/4", "forbidden"}, {edge, one, "k8s:home/Certificate/shop/web/1", "forbidden"},
			{c.issuers["home"], one, "k8s:home/Certificate/shop/web/1", "insufficient_scope"},
			{home, one, "k8s:home/Certificate/shop/web/1", ""}, {home, one, "k8s:home/Certificate/shop/web/1", ""}, {c.admin, three, "", ""},
		} {
			_, err := c.Revoke(c.Context(), x.who, vaultapi.CertificateRevoke{CertificateID: x.id, Owner: x.owner, Reason: "cessation_of_operation"})
			if got := fault.Code(err); got != x.want {
				t.Errorf("%s revokes one of %q: %q, want %q", x.who.ID, x.owner, got, x.want)
			}
		}
		if got := c.listed(home, "k8s:home"); got != two {
			t.Errorf("what is good still: %s", got)
		}
		all, err := c.Certificates(c.Context(), home, pki.CertificateQuery{Owner: "k8s:home", IncludeRevoked: true})
		c.must(err)
		var states []string
		for _, x := range all.Certificates {
			states = append(states, x.Status)
		}
		if !slices.Equal(states, []string{"revoked", "revoked", "active"}) {
			t.Errorf("with what is revoked: %v", states)
		}
	})
}

// Nobody has a certificate recorded as another cluster's, which that one would then revoke.
func TestOwnersOfOthers(t *testing.T) {
	eachClusters(t, func(c *clusters) {
		for owner, want := range map[string]string{
			"k8s:edge/Certificate/shop/web/1": "forbidden", "k8s:home/Certificate/shop/web": "validation_error", "home": "validation_error",
			"k8s:home/Certificate/shop/web/1 ": "validation_error", fmt.Sprintf("k8s:home/Certificate/shop/%0600d/1", 0): "validation_error",
		} {
			if _, err := c.signed("home", owner); fault.Code(err) != want {
				t.Errorf("%.60q: %v, want %s", owner, err, want)
			}
		}
		if got := c.listed(c.admin, "k8s:edge"); got != "" {
			t.Errorf("there is %s", got)
		}
	})
}
