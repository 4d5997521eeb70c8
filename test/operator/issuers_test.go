package operator_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"strings"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/certmanager"
	"github.com/scailabs/scaivault/test/operator"
)

// certified is a world with cert-manager, and with a role svc of the vault that allows names below example.com, by an
// intermediate below a root.
func certified(w *world) *world {
	w.Helper()
	certmanager.Start(w.T, w.plane)
	w.roles()
	return w
}

// roles makes authorities and the role.
func (w *world) roles() {
	w.Helper()
	w.authority("root", vaultapi.AuthorityWrite{CAType: "root"})
	w.authority("issuing", vaultapi.AuthorityWrite{CAType: "intermediate", ParentCAID: "root"})
	off := false
	w.role(vaultapi.PKIRoleWrite{Name: "svc", CAID: "issuing", AllowedDomains: []string{"example.com"}, AllowSubdomains: true, RequireCN: &off, MaxTTL: "48h"})
	w.Cleanup(w.noRequests)
}

func (w *world) authority(name string, a vaultapi.AuthorityWrite) {
	w.Helper()
	a.Name, a.CommonName, a.KeyType = name, name, "ec"
	if _, err := w.admin.PKI.CreateAuthority(w.Context(), a); err != nil {
		w.Fatal(err)
	}
}

func (w *world) role(r vaultapi.PKIRoleWrite) {
	w.Helper()
	if _, err := w.admin.PKI.CreateRole(w.Context(), r); err != nil {
		w.Fatal(err)
	}
}

// noRequests leaves nothing behind that the operator of the next test would try to serve.
func (w *world) noRequests() {
	w.T.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), soon)
	defer cancel()
	for _, ns := range w.namespaces {
		for _, o := range []kube.Object{&cmapi.Certificate{}, &cmapi.CertificateRequest{}} {
			if err := w.kube.DeleteAllOf(ctx, o, kube.InNamespace(ns)); err != nil && !meta.IsNoMatchError(err) && !apierrors.IsNotFound(err) {
				w.Errorf("leave no %T behind: %v", o, err)
			}
		}
	}
	if err := w.kube.DeleteAllOf(ctx, &certificatesv1.CertificateSigningRequest{}); err != nil {
		w.Error(err)
	}
}

// issuer applies a PKIIssuer of role svc, as ServiceAccount issuer.
func (w *world) issuer(name string, change ...func(*v1alpha1.PKIIssuerSpec)) *v1alpha1.PKIIssuer {
	w.Helper()
	w.account(w.ns, "issuer")
	i := &v1alpha1.PKIIssuer{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec:       v1alpha1.PKIIssuerSpec{IssuerTerms: v1alpha1.IssuerTerms{Role: "svc"}, ServiceAccountName: "issuer"},
	}
	for _, c := range change {
		c(&i.Spec)
	}
	if err := w.kube.Create(w.Context(), i); err != nil {
		w.Fatal(err)
	}
	return i
}

// clusterIssuer applies a ClusterPKIIssuer of role svc, of a name of this test.
func (w *world) clusterIssuer(identity v1alpha1.IssuerIdentity, change ...func(*v1alpha1.ClusterPKIIssuerSpec)) *v1alpha1.ClusterPKIIssuer {
	w.Helper()
	i := &v1alpha1.ClusterPKIIssuer{
		ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"},
		Spec:       v1alpha1.ClusterPKIIssuerSpec{IssuerTerms: v1alpha1.IssuerTerms{Role: "svc"}, Identity: identity},
	}
	for _, c := range change {
		c(&i.Spec)
	}
	if err := w.kube.Create(w.Context(), i); err != nil {
		w.Fatal(err)
	}
	return i
}

func (w *world) issuerIs(obj statusObject, want string) {
	w.Helper()
	w.until(fmt.Sprintf("Ready of %T %s", obj, obj.GetName()), want, func() string {
		if err := w.kube.Get(w.Context(), kube.ObjectKeyFromObject(obj), obj); err != nil {
			return err.Error()
		}
		return ready(obj)
	})
}

// mayIssue lets ServiceAccount issuer of the test's namespace issue by role svc.
func (w *world) mayIssue() *v1alpha1.VaultPolicy {
	w.Helper()
	w.account(w.ns, "issuer")
	return w.entitle("issuer", "pki:svc", "issue")
}

// certificate applies a Certificate for web.example.com, into Secret <name>-tls.
func (w *world) certificate(name string, ref cmmeta.IssuerReference, change ...func(*cmapi.CertificateSpec)) {
	w.Helper()
	c := &cmapi.Certificate{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec: cmapi.CertificateSpec{
			SecretName: name + "-tls", DNSNames: []string{"web.example.com"}, IssuerRef: ref,
			PrivateKey: &cmapi.CertificatePrivateKey{Algorithm: cmapi.ECDSAKeyAlgorithm, Size: 256, RotationPolicy: cmapi.RotationPolicyAlways},
		},
	}
	for _, f := range change {
		f(&c.Spec)
	}
	if err := w.kube.Create(w.Context(), c); err != nil {
		w.Fatal(err)
	}
}

// byIssuer refers to an issuer of ours.
func byIssuer(kind, name string) cmmeta.IssuerReference {
	return cmmeta.IssuerReference{Group: "scaivault.io", Kind: kind, Name: name}
}

// request makes a CertificateRequest of its own for names, which cert-manager's approver approves if it may.
func (w *world) request(name string, ref cmmeta.IssuerReference, names []string, change ...func(*cmapi.CertificateRequestSpec)) {
	w.Helper()
	r := &cmapi.CertificateRequest{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.ns, Name: name},
		Spec:       cmapi.CertificateRequestSpec{Request: w.csr(names), IssuerRef: ref, Usages: []cmapi.KeyUsage{cmapi.UsageServerAuth}},
	}
	for _, f := range change {
		f(&r.Spec)
	}
	if err := w.kube.Create(w.Context(), r); err != nil {
		w.Fatal(err)
	}
}

// csr is a certificate request for a new key, in PEM.
func (w *world) csr(names []string) []byte {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		w.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{DNSNames: names}, key)
	if err != nil {
		w.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
}

// requested is the state of a CertificateRequest: status/reason of Ready, and the first word of its message.
func (w *world) requested(name string) string {
	r := &cmapi.CertificateRequest{}
	if err := w.kube.Get(w.Context(), w.key(name), r); err != nil {
		return err.Error()
	}
	for _, c := range r.Status.Conditions {
		if c.Type == cmapi.CertificateRequestConditionReady {
			why, _, _ := strings.Cut(c.Message, ":")
			if c.Status == cmmeta.ConditionTrue {
				why = "with a certificate"
			}
			if (len(r.Status.Certificate) > 0) != (c.Status == cmmeta.ConditionTrue) || (r.Status.FailureTime != nil) != (c.Reason == "Failed" || c.Reason == "Denied") {
				why += ", and the rest of the status says something else"
			}
			return fmt.Sprintf("%s/%s %s", c.Status, c.Reason, why)
		}
	}
	return ""
}

const issued = "True/Issued with a certificate"

func (w *world) requestIs(name, want string) {
	w.Helper()
	w.until("CertificateRequest "+name, want, func() string { return w.requested(name) })
}

// signings counts the calls by which this test's operator had something signed.
func (w *world) signings() int {
	return len(w.wire.Calls(func(c operator.Call) bool { return strings.HasPrefix(c.Path, "/v1/pki/sign/") }))
}

// signingRequest makes a CertificateSigningRequest as a user, and approves it.
func (w *world) signingRequest(name, signer, user string, change ...func(*certificatesv1.CertificateSigningRequest)) string {
	w.Helper()
	c := &certificatesv1.CertificateSigningRequest{
		ObjectMeta: metav1.ObjectMeta{Name: name + "-" + w.ns},
		Spec: certificatesv1.CertificateSigningRequestSpec{
			Request: w.csr([]string{"csr.example.com"}), SignerName: signer,
			Usages: []certificatesv1.KeyUsage{certificatesv1.UsageDigitalSignature, certificatesv1.UsageServerAuth},
		},
	}
	for _, f := range change {
		f(c)
	}
	if err := w.as(user).Create(w.Context(), c); err != nil {
		w.Fatal(err)
	}
	return c.Name
}

func (w *world) approve(csr string) {
	w.Helper()
	w.kubectl("certificate", "approve", csr)
}
