package pkiissuer

import (
	"errors"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// A request belongs to the Certificate that controls it, and to nothing else that says so.
func TestOwnerOf(t *testing.T) {
	yes := true
	by := func(api, kind string, controls *bool) []metav1.OwnerReference {
		return []metav1.OwnerReference{{APIVersion: api, Kind: kind, Name: "web", UID: "1-2", Controller: controls}}
	}
	for name, c := range map[string]struct {
		refs []metav1.OwnerReference
		want string
	}{
		"a Certificate":               {by("cert-manager.io/v1", "Certificate", &yes), "k8s:home/Certificate/shop/web/1-2"},
		"nobody":                      {nil, ""},
		"one that does not control":   {by("cert-manager.io/v1", "Certificate", nil), ""},
		"another kind":                {by("cert-manager.io/v1", "Order", &yes), ""},
		"another group":               {by("example.com/v1", "Certificate", &yes), ""},
		"another version of the kind": {by("cert-manager.io/v2", "Certificate", &yes), ""},
	} {
		obj := &cmapi.CertificateRequest{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", OwnerReferences: c.refs}}
		got := ownerOf("home", obj)
		if got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
		if key, ok := certificateOf("home", got); ok != (got != "") || ok && key.String() != "shop/web" {
			t.Errorf("%s: read back as %s (%v)", name, key, ok)
		}
	}
	for _, owner := range []string{"k8s:edge/Certificate/shop/web/1", "k8s:home/VaultPolicy/shop/web/1", "k8s:home/Certificate/shop/web", "k8s:home/Certificate/shop/web/1/2", ""} {
		if key, ok := certificateOf("home", owner); ok {
			t.Errorf("%q is read as %s", owner, key)
		}
	}
}

// Revoked is only where an issuer says so, and not before its grace is over.
func TestGraceOf(t *testing.T) {
	for name, c := range map[string]struct {
		revocation *v1alpha1.IssuerRevocation
		want       time.Duration // 0: never
	}{
		"not said":                    {nil, 0},
		"never":                       {&v1alpha1.IssuerRevocation{OnCertificateDelete: v1alpha1.RevokeNever}, 0},
		"usual":                       {&v1alpha1.IssuerRevocation{OnCertificateDelete: v1alpha1.RevokeAfterGrace}, time.Hour},
		"a day":                       {&v1alpha1.IssuerRevocation{OnCertificateDelete: v1alpha1.RevokeAfterGrace, Grace: "1d"}, 24 * time.Hour},
		"no time":                     {&v1alpha1.IssuerRevocation{OnCertificateDelete: v1alpha1.RevokeAfterGrace, Grace: "soon"}, 0},
		"a choice of a later version": {&v1alpha1.IssuerRevocation{OnCertificateDelete: "AtOnce"}, 0},
	} {
		got, revokes := graceOf(c.revocation)
		if revokes != (c.want > 0) || revokes && got != c.want {
			t.Errorf("%s: %s (%v)", name, got, revokes)
		}
	}
	graces := map[string]time.Duration{"a": time.Hour, "b": time.Minute}
	for passed, want := range map[time.Duration]time.Duration{0: time.Minute, time.Second: time.Minute, time.Minute: time.Hour, time.Hour: 0} {
		if got, waits := nextGrace(graces, passed); got != want || waits != (want > 0) {
			t.Errorf("after %s comes %s (%v), want %s", passed, got, waits, want)
		}
	}
}

// A cluster without cert-manager has lost no Certificate.
func TestUnknownKind(t *testing.T) {
	certificates := schema.GroupResource{Group: "cert-manager.io", Resource: "certificates"}
	for name, c := range map[string]struct {
		err  error
		want bool
	}{
		"there":                {nil, false},
		"gone":                 {apierrors.NewNotFound(certificates, "web"), false},
		"no such resource":     {apierrors.NewGenericServerResponse(404, "get", certificates, "web", "404 page not found", 0, true), true},
		"no mapping":           {&meta.NoKindMatchError{GroupKind: schema.GroupKind{Group: "cert-manager.io", Kind: "Certificate"}}, true},
		"forbidden":            {apierrors.NewForbidden(certificates, "web", errors.New("x")), false},
		"the API server fails": {apierrors.NewInternalError(errors.New("x")), false},
	} {
		if c.err == nil && name != "there" {
			t.Fatal(name)
		}
		if got := unknownKind(c.err); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
