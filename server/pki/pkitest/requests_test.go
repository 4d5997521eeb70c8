package pkitest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"slices"
	"sync"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/pki"
)

func csrOf(t *testing.T, curve elliptic.Curve, names ...string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(curve, rand.Reader)
	must(t, err)
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names}, key)
	must(t, err)
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// submitted is a request of asker, who may issue by no role.
func (w *world) submitted(t *testing.T) vaultapi.CertificateRequest {
	t.Helper()
	r, err := w.SubmitRequest(t.Context(), asker, vaultapi.CertificateRequestSubmit{Role: "web", CSRPEM: csrOf(t, elliptic.P256(), "a.svc.example"), TTL: "24h"})
	must(t, err)
	return r
}

func (w *world) approve(t *testing.T, id string) {
	t.Helper()
	r, err := w.ApproveRequest(t.Context(), admin, id, vaultapi.CertificateRequestDecision{Comment: "seen"})
	must(t, err)
	if r.Status != "approved" || r.DecidedBy == nil || *r.DecidedBy != admin.ID || r.Comment != "seen" {
		t.Fatalf("got %+v", r)
	}
}

func (w *world) web(t *testing.T) {
	t.Helper()
	w.root(t, admin, "root")
	w.role(t, "web", "root")
}

func TestRequestIsSignedOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		r := w.submitted(t)
		if r.Status != "pending" || r.CommonName != "a.svc.example" || !slices.Equal(r.AltNames, []string{"a.svc.example"}) || r.SubmittedBy != asker.ID {
			t.Fatalf("got %+v", r)
		}
		_, err := w.SignRequest(t.Context(), asker, r.ID)
		wantCode(t, err, fault.CodeCSRNotApproved)
		w.approve(t, r.ID)
		c, err := w.SignRequest(t.Context(), asker, r.ID)
		must(t, err)
		cert := parse(t, c.CertificatePEM)
		if cert.Subject.CommonName != "a.svc.example" || c.PrivateKey.Reveal() != "" || !cert.NotAfter.Equal(noon.Add(day)) {
			t.Fatalf("got %+v", cert.Subject)
		}
		got, err := w.Request(t.Context(), asker, r.ID)
		must(t, err)
		if got.Status != "signed" || got.CertificateID == nil || *got.CertificateID != c.ID {
			t.Fatalf("got %+v", got)
		}
		_, err = w.SignRequest(t.Context(), asker, r.ID)
		wantCode(t, err, fault.CodeCSRNotApproved)
		_, err = w.RejectRequest(t.Context(), admin, r.ID, vaultapi.CertificateRequestDecision{})
		wantCode(t, err, fault.CodeCSRDecided)
	})
}

// TestNobodyApprovesHimself: neither who lacks pki:admin, nor an administrator who submitted the request, nor one of
// another tenant.
func TestNobodyApprovesHimself(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		r := w.submitted(t)
		_, err := w.ApproveRequest(t.Context(), asker, r.ID, vaultapi.CertificateRequestDecision{})
		wantCode(t, err, fault.CodeInsufficientScope)
		risen := asker
		risen.Scopes = append(slices.Clone(asker.Scopes), admin.Scopes...) // the same identity, with another token
		_, err = w.ApproveRequest(t.Context(), risen, r.ID, vaultapi.CertificateRequestDecision{})
		wantCode(t, err, fault.CodeForbidden)
		for _, act := range []func() error{
			func() error { _, err := w.Request(t.Context(), stranger, r.ID); return err },
			func() error {
				_, err := w.ApproveRequest(t.Context(), stranger, r.ID, vaultapi.CertificateRequestDecision{})
				return err
			},
			func() error {
				_, err := w.RejectRequest(t.Context(), stranger, r.ID, vaultapi.CertificateRequestDecision{})
				return err
			},
			func() error { _, err := w.SignRequest(t.Context(), stranger, r.ID); return err },
			func() error { _, err := w.SignRequest(t.Context(), issuer, r.ID); return err }, // another's request
			func() error { _, err := w.Request(t.Context(), issuer, r.ID); return err },
		} {
			wantCode(t, act(), fault.CodeCSRNotFound)
		}
		_, err = w.SignRequest(t.Context(), asker, r.ID)
		wantCode(t, err, fault.CodeCSRNotApproved)
	})
}

// TestApprovalIsOfWhatWasSeen: a role that allows more, less or by another authority after the approval makes nothing of
// it; a request that was rejected, or is too old, neither.
func TestApprovalIsOfWhatWasSeen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		w.root(t, admin, "other")
		long, other := "4320h", "other"
		for _, change := range []vaultapi.PKIRolePatch{{MaxTTL: &long}, {CAID: &other}} {
			r := w.submitted(t)
			w.approve(t, r.ID)
			_, err := w.PatchRole(t.Context(), admin, "web", change)
			must(t, err)
			_, err = w.SignRequest(t.Context(), asker, r.ID)
			wantCode(t, err, fault.CodeCSRNotApproved)
		}
		r := w.submitted(t)
		w.approve(t, r.ID)
		_, err := w.RejectRequest(t.Context(), admin, r.ID, vaultapi.CertificateRequestDecision{Comment: "on second thought"})
		must(t, err)
		_, err = w.SignRequest(t.Context(), asker, r.ID)
		wantCode(t, err, fault.CodeCSRNotApproved)

		r = w.submitted(t)
		w.approve(t, r.ID)
		w.pass(30 * day)
		_, err = w.SignRequest(t.Context(), asker, r.ID)
		wantCode(t, err, fault.CodeCSRNotApproved)
		if got, err := w.Request(t.Context(), asker, r.ID); err != nil || got.Status != "expired" {
			t.Fatalf("got %+v, %v", got, err)
		}
	})
}

func TestRequestsAreJudgedWhenSubmitted(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		good := csrOf(t, elliptic.P256(), "a.svc.example")
		for field, body := range map[string]vaultapi.CertificateRequestSubmit{
			"csr_pem":   {Role: "web", CSRPEM: "x"},
			"alt_names": {Role: "web", CSRPEM: csrOf(t, elliptic.P256(), "a.svc.example", "a.bank.example")},
			"ip_sans":   {Role: "web", CSRPEM: good, IPSANs: []string{"10.0.0.1"}},
		} {
			_, err := w.SubmitRequest(t.Context(), asker, body)
			wantField(t, err, field)
		}
		_, err := w.SubmitRequest(t.Context(), asker, vaultapi.CertificateRequestSubmit{Role: "web", CSRPEM: csrOf(t, elliptic.P224(), "a.svc.example")})
		wantField(t, err, "csr_pem")
		_, err = w.SubmitRequest(t.Context(), asker, vaultapi.CertificateRequestSubmit{Role: "web", CSRPEM: good, TTL: "soon"})
		wantCode(t, err, fault.CodeInvalidDuration)
		_, err = w.SubmitRequest(t.Context(), asker, vaultapi.CertificateRequestSubmit{Role: "none", CSRPEM: good})
		wantCode(t, err, fault.CodeRoleNotFound)
		_, err = w.SubmitRequest(t.Context(), nobody, vaultapi.CertificateRequestSubmit{Role: "web", CSRPEM: good})
		wantCode(t, err, fault.CodeInsufficientScope)
	})
}

func TestRequestsByPage(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		old := w.submitted(t)
		w.pass(31 * day)
		one, two := w.submitted(t), w.submitted(t)
		w.approve(t, one.ID)
		for status, want := range map[string]string{"": "3", "pending": two.ID, "approved": one.ID, "expired": old.ID} {
			l, err := w.Requests(t.Context(), admin, pki.RequestQuery{Status: status})
			must(t, err)
			if status == "" && len(l.Data) != 3 || status != "" && (len(l.Data) != 1 || l.Data[0].ID != want) {
				t.Fatalf("%s: got %+v", status, l.Data)
			}
		}
		q := pki.RequestQuery{Status: ""}
		q.Limit = 2
		first, err := w.Requests(t.Context(), asker, q)
		must(t, err)
		q.Cursor = *first.Cursor
		second, err := w.Requests(t.Context(), asker, q)
		must(t, err)
		if len(first.Data) != 2 || len(second.Data) != 1 || second.HasMore {
			t.Fatalf("got %+v, %+v", first, second)
		}
		if l, err := w.Requests(t.Context(), issuer, pki.RequestQuery{Status: ""}); err != nil || len(l.Data) > 0 {
			t.Fatalf("others' requests: %+v, %v", l, err)
		}
		_, err = w.Requests(t.Context(), admin, pki.RequestQuery{Status: "lost"})
		wantCode(t, err, fault.CodeInvalidRequest)
	})
}

// TestRequestIsSignedOnceByMany: of several who sign at once one gets the certificate.
func TestRequestIsSignedOnceByMany(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.web(t)
		r := w.submitted(t)
		w.approve(t, r.ID)
		var wait sync.WaitGroup
		made := make(chan string, 8)
		for range 8 {
			wait.Go(func() {
				if c, err := w.SignRequest(t.Context(), asker, r.ID); err == nil {
					made <- c.ID
				} else if !fault.Is(err, fault.CodeCSRNotApproved) {
					t.Error(err)
				}
			})
		}
		wait.Wait()
		if len(made) != 1 {
			t.Fatalf("%d certificates were made", len(made))
		}
	})
}
