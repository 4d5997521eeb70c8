package operator_test

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/certmanager"
	"github.com/scailabs/scaivault/test/operator"
)

// A Certificate of cert-manager becomes a CertificateRequest that its own approver approves, that the vault signs with
// the rights of a ServiceAccount, and a Secret that TLS servers can use; when its time has come, it is renewed.
func TestCertificateOfPKIIssuer(t *testing.T) {
	w := certified(running(t))
	w.mayIssue()
	i := w.issuer("web", func(s *v1alpha1.PKIIssuerSpec) { s.MaxDuration = "2h" })
	w.issuerIs(i, "True/Issuing")
	if a := i.Status.Authority; a == nil || a.Name != "issuing" || !strings.HasPrefix(a.ID, "ca_") || time.Until(a.Expires.Time) < time.Hour {
		t.Errorf("authority %+v", a)
	}
	w.certificate("web", byIssuer("PKIIssuer", "web"), func(s *cmapi.CertificateSpec) {
		s.Duration, s.RenewBefore = &metav1.Duration{Duration: time.Hour}, &metav1.Duration{Duration: time.Hour - 6*time.Second}
	})
	first := w.served("web-tls", i.Status.CABundle)
	if life := time.Until(first.NotAfter); life > time.Hour || life < 50*time.Minute {
		t.Errorf("it lives %s longer, an hour was asked for", life)
	}
	w.until("its renewal", "true", func() string {
		return fmt.Sprint(w.served("web-tls", i.Status.CABundle).SerialNumber.Cmp(first.SerialNumber) != 0)
	})
	second := w.served("web-tls", i.Status.CABundle)
	if string(second.RawSubjectPublicKeyInfo) == string(first.RawSubjectPublicKeyInfo) {
		t.Error("the renewal has the same key")
	}
	w.certificate("long", byIssuer("PKIIssuer", "web"), func(s *cmapi.CertificateSpec) { s.Duration = &metav1.Duration{Duration: 2160 * time.Hour} })
	if life := time.Until(w.served("long-tls", i.Status.CABundle).NotAfter); life > 2*time.Hour || life < time.Hour {
		t.Errorf("it lives %s longer, the issuer gives two hours", life)
	}
	var l cmapi.CertificateRequestList
	if err := w.kube.List(t.Context(), &l, kube.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	for _, r := range l.Items {
		if r.Spec.Username != certmanager.User() {
			t.Errorf("%s was made by %s", r.Name, r.Spec.Username)
		}
	}
}

// served waits until a Secret holds what a TLS server of web.example.com needs, and its clients trust.
func (w *world) served(secret, trusted string) *x509.Certificate {
	w.Helper()
	w.until("Secret "+secret, string(corev1.SecretTypeTLS), func() string {
		if s := w.secret(secret); s != nil && len(s.Data[corev1.TLSCertKey]) > 0 {
			return string(s.Type)
		}
		return ""
	})
	s := w.secret(secret)
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		w.Fatal(err)
	}
	if string(s.Data["ca.crt"]) != trusted {
		w.Errorf("ca.crt of Secret %s is not the issuer's bundle:\n%s\n%s", secret, s.Data["ca.crt"], trusted)
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(trusted))
	for _, der := range pair.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			w.Fatal(err)
		}
		between.AddCert(c)
	}
	if _, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: between, DNSName: "web.example.com"}); err != nil {
		w.Fatalf("Secret %s: %v", secret, err)
	}
	if len(pair.Certificate) != 2 {
		w.Errorf("Secret %s presents %d certificates", secret, len(pair.Certificate))
	}
	return pair.Leaf
}

// Who lacks something waits, and is served as soon as it is there: the issuer, the ServiceAccount, the right, the role.
// What the role does not allow is refused for good.
func TestRequestsWaitForWhatIsMissing(t *testing.T) {
	w := certified(running(t))
	ref := byIssuer("PKIIssuer", "web")
	w.request("early", ref, []string{"web.example.com"})
	w.requestIs("early", "False/Pending IssuerMissing")
	i := w.issuer("web", func(s *v1alpha1.PKIIssuerSpec) { s.ServiceAccountName = "later" })
	w.issuerIs(i, "False/ServiceAccountMissing")
	w.requestIs("early", "False/Pending ServiceAccountMissing")
	w.account(w.ns, "later")
	w.issuerIs(i, "False/AccessDenied")
	w.requestIs("early", "False/Pending AccessDenied")
	asked := time.Now()
	p := w.entitle("later", "pki:svc", "issue")
	w.requestIs("early", issued)
	t.Logf("signed %s after the policy was written", time.Since(asked).Round(time.Millisecond))
	w.issuerIs(i, "True/Issuing")

	for name, names := range map[string][]string{"outside": {"web.example.org"}, "above": {"*.com"}, "partly": {"web.example.com", "example.com.evil.org"}} {
		w.request(name, ref, names)
		w.requestIs(name, "False/Failed RequestRefused")
	}
	w.request("authority", ref, []string{"web.example.com"}, func(s *cmapi.CertificateRequestSpec) { s.IsCA = true })
	w.requestIs("authority", "False/Failed RequestRefused")
	w.request("signer", ref, []string{"web.example.com"}, func(s *cmapi.CertificateRequestSpec) { s.Usages = []cmapi.KeyUsage{cmapi.UsageCodeSigning} })
	w.requestIs("signer", "False/Failed RequestRefused")

	w.remove(p)
	w.until("the right is gone", "policy_not_found", func() string { return w.holders(p) })
	w.request("without", ref, []string{"web.example.com"})
	w.requestIs("without", "False/Pending AccessDenied")
	w.issuerIs(i, "False/AccessDenied")
	if err := w.admin.PKI.DeleteRole(t.Context(), "svc"); err != nil {
		t.Fatal(err)
	}
	w.entitle("later", "pki:svc", "issue")
	w.requestIs("without", "False/Pending RoleMissing")
	w.until("Ready of the issuer after a look", "False/RoleMissing", func() string {
		w.annotate(i, v1alpha1.AnnotationRequestedAt, time.Now().Format(time.RFC3339Nano))
		if err := w.kube.Get(t.Context(), kube.ObjectKeyFromObject(i), i); err != nil {
			return err.Error()
		}
		return ready(i)
	})
	if got := w.requested("early"); got != issued {
		t.Errorf("what was issued before: %s", got)
	}
}

// An authority that is revoked issues nothing; who asks waits until the role has another.
func TestRequestsOfARevokedAuthority(t *testing.T) {
	w := certified(running(t))
	w.mayIssue()
	i := w.issuer("web")
	w.issuerIs(i, "True/Issuing")
	if _, err := w.admin.PKI.RevokeAuthority(t.Context(), "issuing", vaultapi.AuthorityRevoke{}); err != nil {
		t.Fatal(err)
	}
	w.request("late", byIssuer("PKIIssuer", "web"), []string{"web.example.com"})
	w.requestIs("late", "False/Pending AuthorityInactive")
	w.annotate(i, v1alpha1.AnnotationRequestedAt, "look")
	w.issuerIs(i, "False/AuthorityInactive")
}

// A vault that is away fails no request: what waited is signed when it is back, once.
func TestRequestsOutliveTheVault(t *testing.T) {
	w := certified(running(t))
	w.mayIssue()
	w.issuerIs(w.issuer("web"), "True/Issuing")
	w.wire.Shut()
	w.request("away", byIssuer("PKIIssuer", "web"), []string{"web.example.com"})
	w.requestIs("away", "False/Pending VaultUnavailable")
	w.wire.Open()
	w.requestIs("away", issued)

	// A status that cannot be written does not make another certificate.
	w.wire.Forget()
	caught := w.api.Trap(false, func(c operator.Call) bool { return strings.HasSuffix(c.Path, "/certificaterequests/lost/status") }, func() { w.api.Cut() })
	w.request("lost", byIssuer("PKIIssuer", "web"), []string{"web.example.com"})
	<-caught
	w.requestIs("lost", issued)
	if n := w.signings(); n != 1 {
		t.Errorf("signed %d times", n)
	}
}

// Without cert-manager the operator starts and looks after its issuers; what cert-manager brings later is served from
// then on, without a restart.
func TestCertManagerComesLater(t *testing.T) {
	w := newWorld(t)
	out, err := w.plane.Kubectl(t.Context(), "get", "crd", "-o", "name")
	if err != nil {
		t.Fatal(err)
	}
	for name := range strings.FieldsSeq(out) {
		if strings.HasSuffix(name, ".cert-manager.io") {
			w.kubectl("delete", name)
		}
	}
	w.operator.Start()
	w.roles()
	w.mayIssue()
	w.issuerIs(w.issuer("web"), "True/Issuing")
	path := w.path("db")
	w.allowed()
	w.put(path, map[string]any{"k": "1"})
	w.create("db", path)
	w.synced("db")
	certmanager.Start(t, w.plane)
	w.Cleanup(w.noRequests) // before cert-manager goes
	w.request("early", byIssuer("PKIIssuer", "web"), []string{"web.example.com"})
	w.requestIs("early", issued)
}

// What was signed for a Certificate that is deleted is revoked when the grace is over, where the issuer says so: also
// when no operator saw the deletion. One that is made again under its name before keeps what it has; and nothing is
// revoked that belongs to others.
func TestRevocationAfterGrace(t *testing.T) {
	w := certified(running(t))
	w.mayIssue()
	after := func(grace v1alpha1.Duration) func(*v1alpha1.PKIIssuerSpec) {
		return func(s *v1alpha1.PKIIssuerSpec) {
			s.Revocation = &v1alpha1.IssuerRevocation{OnCertificateDelete: v1alpha1.RevokeAfterGrace, Grace: grace}
		}
	}
	w.issuerIs(w.issuer("web", after("3s")), "True/Issuing")
	ref := byIssuer("PKIIssuer", "web")
	serials := map[string]string{}
	for _, name := range []string{"goes", "stays", "again", "unseen"} {
		w.certificate(name, ref)
		w.until("Secret "+name, "true", func() string { return fmt.Sprint(w.secret(name+"-tls") != nil) })
		serials[name] = w.serial(name + "-tls")
	}
	w.request("alone", ref, []string{"web.example.com"})
	w.requestIs("alone", issued)

	asked := time.Now()
	w.kubectl("-n", w.ns, "delete", "certificate", "goes", "again")
	w.certificate("again", ref)
	w.until("what went", "revoked cessation_of_operation", func() string { return w.revocation(serials["goes"]) })
	if took := time.Since(asked); took < 3*time.Second {
		t.Errorf("revoked after %s, the grace is 3s", took)
	}
	w.operator.Stop()
	w.kubectl("-n", w.ns, "delete", "certificate", "unseen")
	w.operator.Start()
	w.until("what went unseen", "revoked cessation_of_operation", func() string { return w.revocation(serials["unseen"]) })
	for _, name := range []string{"stays", "again"} {
		if got := w.revocation(serials[name]); got != "active" {
			t.Errorf("%s: %s", name, got)
		}
	}
	w.kubectl("-n", w.ns, "delete", "certificaterequest", "alone")
	i := &v1alpha1.PKIIssuer{ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: "web"}}
	w.remove(i)
	w.kubectl("-n", w.ns, "delete", "certificate", "stays")
	w.pass(6 * time.Second)
	if got := w.revocation(serials["stays"]); got != "active" {
		t.Errorf("without the issuer: %s", got)
	}
}

// Whoever removes cert-manager with its kinds, and with them every Certificate, does not mean every certificate.
func TestNothingIsRevokedWithCertManager(t *testing.T) {
	w := certified(running(t))
	w.mayIssue()
	const grace = 8 * time.Second
	w.issuerIs(w.issuer("web", func(s *v1alpha1.PKIIssuerSpec) {
		s.Revocation = &v1alpha1.IssuerRevocation{OnCertificateDelete: v1alpha1.RevokeAfterGrace, Grace: "8s"}
	}), "True/Issuing")
	w.certificate("web", byIssuer("PKIIssuer", "web"))
	w.until("Secret web-tls", "true", func() string { return fmt.Sprint(w.secret("web-tls") != nil) })
	serial := w.serial("web-tls")
	w.kubectl("delete", "crd", "certificaterequests.cert-manager.io", "certificates.cert-manager.io", "--timeout=6s")
	w.pass(grace + 4*time.Second)
	if got := w.revocation(serial); got != "active" {
		t.Errorf("without the kind: %s", got)
	}
}

// serial is the serial number of the certificate in a Secret.
func (w *world) serial(secret string) string {
	w.Helper()
	s := w.secret(secret)
	pair, err := tls.X509KeyPair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		w.Fatal(err)
	}
	return fmt.Sprintf("%x", pair.Leaf.SerialNumber)
}

// revocation is how a certificate stands in the vault.
func (w *world) revocation(serial string) string {
	w.Helper()
	l, err := w.admin.PKI.Certificates(w.Context(), client.CertificateFilter{IncludeRevoked: true, Limit: 1000})
	if err != nil {
		w.Fatal(err)
	}
	for _, c := range l.Certificates {
		if strings.EqualFold(strings.TrimLeft(strings.ReplaceAll(c.SerialNumber, ":", ""), "0"), serial) {
			if c.RevocationReason != nil {
				return c.Status + " " + *c.RevocationReason
			}
			return c.Status
		}
	}
	return "unknown"
}

// An operator with Roles in some namespaces serves the PKIIssuers there, and tells those who ask a ClusterPKIIssuer why
// nothing comes of it.
func TestIssuersOfServedNamespaces(t *testing.T) {
	w := certified(newWorld(t))
	mine, outside := w.ns, w.namespace("outside", nil)
	w.narrows(mine)
	w.operator.Args = append(w.operator.Args, "--policies=false")
	w.operator.Start()
	issues := w.policyInVault("issues", "pki:svc", "issue")
	for _, ns := range []string{mine, outside} {
		if _, err := w.admin.Policies.Bind(t.Context(), issues, vaultapi.BindingWrite{IdentityID: "sa:" + ns + ":issuer"}); err != nil {
			t.Fatal(err)
		}
	}
	i := w.issuer("web")
	w.issuerIs(i, "True/Issuing")
	w.certificate("web", byIssuer("PKIIssuer", "web"))
	w.served("web-tls", i.Status.CABundle)
	w.request("wide", byIssuer("ClusterPKIIssuer", "corporate"), []string{"web.example.com"})
	w.requestIs("wide", "False/Pending NotServed")
	w.ns = outside
	ignored := w.issuer("web")
	w.request("ignored", byIssuer("PKIIssuer", "web"), []string{"web.example.com"})
	w.pass(time.Second)
	if got := w.requested("ignored"); got != "" || ready(w.looked(ignored)) != "" {
		t.Errorf("outside of what is served: %q", got)
	}
	w.remove(ignored) // nobody brings it in order
	w.ns = mine
}

func (w *world) looked(obj statusObject) statusObject {
	w.Helper()
	if err := w.kube.Get(w.Context(), kube.ObjectKeyFromObject(obj), obj); err != nil {
		w.Fatal(err)
	}
	return obj
}
