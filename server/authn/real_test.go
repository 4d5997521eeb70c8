package authn

import (
	"fmt"
	"testing"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
	"github.com/scailabs/scaivault/test/controlplane"
)

func TestRealOneOff(t *testing.T) {
	p := controlplane.Start(t)
	r, err := NewTokenReview(p.Kubeconfig)
	if err != nil { t.Fatal(err) }
	ns := p.Namespace(t, "authn", nil)
	if _, err := p.Kubectl(t.Context(), "-n", ns, "create", "serviceaccount", "app"); err != nil { t.Fatal(err) }
	tok, err := p.ServiceAccountToken(t.Context(), ns, "app", Audience)
	if err != nil { t.Fatal(err) }
	got, err := r.Review(t.Context(), tok, Audience)
	fmt.Printf("REAL %+v %v\n", got, err)
	if err != nil || got.Namespace != ns { t.Fatal(err) }
	other, err := p.ServiceAccountToken(t.Context(), ns, "app", "https://kubernetes.default.svc")
	if err != nil { t.Fatal(err) }
	got, err = r.Review(t.Context(), other, Audience)
	fmt.Printf("REAL other audience %+v %v\n", got, err)
	if err == nil { t.Fatal("accepted") }
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)), func(o *Options) { o.Clusters = []Cluster{{Name: HomeCluster, Reviewer: r}}; o.Now = nil })
	f.trust(t, TrustRule{Name: "home"})
	out, err := f.exchange(t, tok)
	fmt.Printf("REAL exchange %s %v\n", out.IdentityID, err)
	if err != nil { t.Fatal(err) }
	if _, err := f.exchange(t, tok[:len(tok)-4]+"AAAA"); err == nil { t.Fatal("forged accepted") } else { fmt.Println("REAL forged", err) }
	_, _ = p.Kubectl(t.Context(), "-n", ns, "delete", "serviceaccount", "app")
	_, err = f.exchange(t, tok)
	fmt.Println("REAL deleted", err)
}
