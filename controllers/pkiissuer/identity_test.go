package pkiissuer

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// Whose rights serve whom: never those of a namespace that neither asks nor was lent by its issuer.
func TestAccount(t *testing.T) {
	namespaced := &v1alpha1.PKIIssuer{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web"}}
	named := namespaced.DeepCopy()
	named.Spec.ServiceAccountName = "issuer"
	requester := clusterIssuer(v1alpha1.IssuerIdentity{Mode: v1alpha1.RequesterIdentity, ServiceAccountName: "pki"})
	plain := clusterIssuer(v1alpha1.IssuerIdentity{Mode: v1alpha1.RequesterIdentity})
	one := func(allowed ...v1alpha1.NamespaceChoice) *v1alpha1.ClusterPKIIssuer {
		return clusterIssuer(v1alpha1.IssuerIdentity{
			Mode: v1alpha1.IssuerIdentityMode, ServiceAccountRef: &v1alpha1.ServiceAccountReference{Namespace: "pki", Name: "signer"}, AllowedNamespaces: allowed,
		})
	}
	for name, c := range map[string]struct {
		issuer     issuer
		from, want string
	}{
		"a namespace's own":                   {namespaced, "shop", "shop/default"},
		"by another name":                     {named, "shop", "shop/issuer"},
		"reached from elsewhere":              {named, "other", "shop/issuer"}, // by the verb reference only
		"requester":                           {requester, "shop", "shop/pki"},
		"another requester":                   {requester, "other", "other/pki"},
		"requester without a name":            {plain, "shop", "shop/default"},
		"requester that is no ServiceAccount": {requester, "", ReasonNotServed},
		"allowed":                             {one("shop"), "shop", "pki/signer"},
		"not allowed":                         {one("shop"), "other", ReasonNotServed},
		"its own namespace is not allowed":    {one("shop"), "pki", ReasonNotServed},
		"all":                                 {one("*"), "other", "pki/signer"},
		"all, and no ServiceAccount":          {one("*"), "", "pki/signer"},
		"no ServiceAccount":                   {one("shop"), "", ReasonNotServed},
		"none allowed":                        {one(), "shop", ReasonNotServed},
		"no ServiceAccount is named":          {clusterIssuer(v1alpha1.IssuerIdentity{Mode: v1alpha1.IssuerIdentityMode}), "shop", v1alpha1.ReasonInvalidSpec},
		"a mode of a later version":           {clusterIssuer(v1alpha1.IssuerIdentity{Mode: "Anybody"}), "shop", v1alpha1.ReasonInvalidSpec},
	} {
		who, err := account(c.issuer, c.from)
		got := who.String()
		if err != nil {
			got = reconcile.ReasonOf(err)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s (%v)", name, got, c.want, err)
		}
	}
}

// A user is of the namespace that the API server says, however he calls himself.
func TestNamespaceOf(t *testing.T) {
	for user, want := range map[string]string{
		"system:serviceaccount:shop:web":          "shop",
		"system:serviceaccount:shop:web:x":        "",
		"system:serviceaccount::web":              "",
		"system:serviceaccount:shop:":             "",
		"system:serviceaccount:shop":              "",
		"system:serviceaccounts:shop:web":         "",
		"xsystem:serviceaccount:shop:web":         "",
		"System:serviceaccount:shop:web":          "",
		"jane":                                    "",
		"":                                        "",
		"system:node:worker-1":                    "",
		" system:serviceaccount:kube-system:root": "",
	} {
		if got := namespaceOf(user); got != want {
			t.Errorf("%q: %q, want %q", user, got, want)
		}
	}
}

// A signer's name names one issuer, or none.
func TestSignerOf(t *testing.T) {
	for name, want := range map[string]string{
		"pkiissuers.scaivault.io/shop.web":        "PKIIssuer shop/web",
		"pkiissuers.scaivault.io/shop.web.v2":     "PKIIssuer shop/web.v2",
		"clusterpkiissuers.scaivault.io/corp":     "ClusterPKIIssuer corp",
		"clusterpkiissuers.scaivault.io/corp.v2":  "ClusterPKIIssuer corp.v2",
		"pkiissuers.scaivault.io/shop":            "",
		"pkiissuers.scaivault.io/.web":            "",
		"pkiissuers.scaivault.io/shop.":           "",
		"pkiissuers.scaivault.io/":                "",
		"clusterpkiissuers.scaivault.io/":         "",
		"issuers.cert-manager.io/shop.web":        "",
		"xpkiissuers.scaivault.io/shop.web":       "",
		"kubernetes.io/kube-apiserver-client":     "",
		"pkiissuers.scaivault.io.evil.org/shop.w": "",
	} {
		got, ours := signerOf(name)
		if text := got.String(); ours != (want != "") || ours && text != want {
			t.Errorf("%q: %s (%v), want %q", name, text, ours, want)
		}
	}
}
