package client_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func TestEveryCallOfThePKIAsTheContractWritesIt(t *testing.T) {
	ctx := t.Context()
	no := false
	for want, call := range map[string]func(p *client.PKI) error{
		"GET /v1/pki/ca?cursor=c&limit=5": func(p *client.PKI) error { _, err := p.Authorities(ctx, 5, "c"); return err },
		`POST /v1/pki/ca {"name":"root","common_name":"Root","ca_type":"root","key_type":"ec"}`: func(p *client.PKI) error {
			_, err := p.CreateAuthority(ctx, vaultapi.AuthorityWrite{Name: "root", CommonName: "Root", CAType: "root", KeyType: "ec"})
			return err
		},
		"GET /v1/pki/ca/root":             func(p *client.PKI) error { _, err := p.Authority(ctx, "root"); return err },
		"GET /v1/pki/ca/root/certificate": func(p *client.PKI) error { _, err := p.AuthorityCertificate(ctx, "root"); return err },
		`POST /v1/pki/ca/root/revoke {"reason":"ca_compromise"}`: func(p *client.PKI) error {
			_, err := p.RevokeAuthority(ctx, "root", vaultapi.AuthorityRevoke{Reason: "ca_compromise"})
			return err
		},
		"GET /v1/pki/roles": func(p *client.PKI) error { _, err := p.Roles(ctx, 0, ""); return err },
		`POST /v1/pki/roles {"name":"web","ca_id":"root","allowed_domains":["*.x"],"require_cn":false}`: func(p *client.PKI) error {
			_, err := p.CreateRole(ctx, vaultapi.PKIRoleWrite{Name: "web", CAID: "root", AllowedDomains: []string{"*.x"}, RequireCN: &no})
			return err
		},
		"GET /v1/pki/roles/web": func(p *client.PKI) error { _, err := p.Role(ctx, "web"); return err },
		`PATCH /v1/pki/roles/web {"allowed_domains":[],"require_cn":false}`: func(p *client.PKI) error {
			_, err := p.PatchRole(ctx, "web", vaultapi.PKIRolePatch{AllowedDomains: &[]string{}, RequireCN: &no})
			return err
		},
		"DELETE /v1/pki/roles/web": func(p *client.PKI) error { return p.DeleteRole(ctx, "web") },
		`POST /v1/pki/issue/web {"common_name":"a.x","alt_names":["b.x"],"ip_sans":["10.0.0.1"],"ttl":"168h"}`: func(p *client.PKI) error {
			_, err := p.Issue(ctx, "web", vaultapi.CertificateIssue{CommonName: "a.x", AltNames: []string{"b.x"}, IPSANs: []string{"10.0.0.1"}, TTL: "168h"})
			return err
		},
		`POST /v1/pki/sign/web {"csr_pem":"CSR"}`: func(p *client.PKI) error {
			_, err := p.Sign(ctx, "web", vaultapi.CertificateSign{CSRPEM: "CSR"})
			return err
		},
		"GET /v1/pki/certificates?ca_id=root&cursor=c&expiring_within=30d&include_revoked=true&limit=5": func(p *client.PKI) error {
			_, err := p.Certificates(ctx, client.CertificateFilter{CAID: "root", ExpiringWithin: "30d", IncludeRevoked: true, Limit: 5, Cursor: "c"})
			return err
		},
		"GET /v1/pki/certificates/cert_1":        func(p *client.PKI) error { _, err := p.Certificate(ctx, "cert_1"); return err },
		"GET /v1/pki/certificates/cert_1/pem":    func(p *client.PKI) error { _, err := p.CertificatePEM(ctx, "cert_1"); return err },
		"GET /v1/pki/certificates/cert_1/key":    func(p *client.PKI) error { _, err := p.CertificateKey(ctx, "cert_1"); return err },
		"POST /v1/pki/certificates/cert_1/renew": func(p *client.PKI) error { _, err := p.Renew(ctx, "cert_1"); return err },
		`POST /v1/pki/revoke {"serial_number":"1A:2B","reason":"key_compromise"}`: func(p *client.PKI) error {
			_, err := p.Revoke(ctx, vaultapi.CertificateRevoke{SerialNumber: "1A:2B", Reason: "key_compromise"})
			return err
		},
		`POST /v1/pki/certificates/validate {"certificate_pem":"A\n","chain_pem":"B\n","check_revocation":true}`: func(p *client.PKI) error {
			_, err := p.Validate(ctx, vaultapi.CertificateValidate{CertificatePEM: "A\n", ChainPEM: "B\n", CheckRevocation: true})
			return err
		},
		"GET /v1/pki/ca/ca_1/crl":                    func(p *client.PKI) error { _, err := p.CRL(ctx, "ca_1"); return err },
		"POST /v1/pki/ca/root/crl":                   func(p *client.PKI) error { _, err := p.RegenerateCRL(ctx, "root"); return err },
		"GET /v1/pki/trust-anchors?cursor=c&limit=5": func(p *client.PKI) error { _, err := p.TrustAnchors(ctx, 5, "c"); return err },
		`POST /v1/pki/trust-anchors {"name":"a","certificate_pem":"A\n"}`: func(p *client.PKI) error {
			_, err := p.CreateTrustAnchor(ctx, vaultapi.TrustAnchorWrite{Name: "a", CertificatePEM: "A\n"})
			return err
		},
		"GET /v1/pki/trust-anchors/a": func(p *client.PKI) error { _, err := p.TrustAnchor(ctx, "a"); return err },
		`PATCH /v1/pki/trust-anchors/a {"description":""}`: func(p *client.PKI) error {
			_, err := p.PatchTrustAnchor(ctx, "a", vaultapi.TrustAnchorPatch{Description: new(string)})
			return err
		},
		"GET /v1/pki/ca/root/slots": func(p *client.PKI) error { _, err := p.Slots(ctx, "root"); return err },
		`POST /v1/pki/ca/root/slots {"key_type":"ec"}`: func(p *client.PKI) error {
			_, err := p.PrepareSlot(ctx, "root", vaultapi.AuthoritySlotWrite{KeyType: "ec"})
			return err
		},
		"POST /v1/pki/ca/root/slots/slot_1/activate": func(p *client.PKI) error { _, err := p.ActivateSlot(ctx, "root", "slot_1"); return err },
		`POST /v1/pki/ca/root/slots/slot_1/retire {"force":true}`: func(p *client.PKI) error {
			_, err := p.RetireSlot(ctx, "root", "slot_1", vaultapi.AuthoritySlotRetire{Force: true})
			return err
		},
		"GET /v1/pki/ca/root/bundle":               func(p *client.PKI) error { _, err := p.Bundle(ctx, "root"); return err },
		"GET /v1/pki/ca-requests?cursor=c&limit=5": func(p *client.PKI) error { _, err := p.AuthorityRequests(ctx, 5, "c"); return err },
		`POST /v1/pki/ca-requests {"ca_id":"root"}`: func(p *client.PKI) error {
			_, err := p.RequestAuthority(ctx, vaultapi.AuthorityRequestWrite{CAID: "root"})
			return err
		},
		"GET /v1/pki/ca-requests/car_1": func(p *client.PKI) error { _, err := p.AuthorityRequest(ctx, "car_1"); return err },
		`POST /v1/pki/ca-requests/car_1/certificate {"certificate_pem":"A\n"}`: func(p *client.PKI) error {
			_, err := p.InstallAuthority(ctx, "car_1", vaultapi.AuthorityInstall{CertificatePEM: "A\n"})
			return err
		},
		"DELETE /v1/pki/ca-requests/car_1": func(p *client.PKI) error { return p.CancelAuthorityRequest(ctx, "car_1") },
		"GET /v1/pki/csr?cursor=c&limit=5&status=pending": func(p *client.PKI) error {
			_, err := p.CertificateRequests(ctx, client.CertificateRequestFilter{Status: "pending", Limit: 5, Cursor: "c"})
			return err
		},
		`POST /v1/pki/csr {"role":"web","csr_pem":"CSR"}`: func(p *client.PKI) error {
			_, err := p.SubmitRequest(ctx, vaultapi.CertificateRequestSubmit{Role: "web", CSRPEM: "CSR"})
			return err
		},
		"GET /v1/pki/csr/csr_1": func(p *client.PKI) error { _, err := p.CertificateRequest(ctx, "csr_1"); return err },
		`POST /v1/pki/csr/csr_1/approve {}`: func(p *client.PKI) error {
			_, err := p.ApproveRequest(ctx, "csr_1", vaultapi.CertificateRequestDecision{})
			return err
		},
		`POST /v1/pki/csr/csr_1/reject {"comment":"no"}`: func(p *client.PKI) error {
			_, err := p.RejectRequest(ctx, "csr_1", vaultapi.CertificateRequestDecision{Comment: "no"})
			return err
		},
		"POST /v1/pki/csr/csr_1/sign":    func(p *client.PKI) error { _, err := p.SignRequest(ctx, "csr_1"); return err },
		"DELETE /v1/pki/trust-anchors/a": func(p *client.PKI) error { return p.DeleteTrustAnchor(ctx, "a") },
	} {
		c, calls := serve(t, http.StatusOK, `{}`)
		if err := call(c.PKI); err != nil {
			t.Fatalf("%s: %v", want, err)
		}
		got := (*calls)[0]
		if diff := cmp.Diff(want, strings.TrimSpace(got.Method+" "+got.URI+" "+strings.TrimSpace(got.Body))); diff != "" {
			t.Errorf("call (-want +got):\n%s", diff)
		}
		media := "application/json"
		if strings.HasSuffix(want, "/pem") || strings.HasSuffix(want, "/key") || strings.HasPrefix(want, "GET") && strings.HasSuffix(want, "/crl") {
			media = "application/x-pem-file"
		}
		if accept := got.Header.Get("Accept"); accept != media {
			t.Errorf("%s: Accept %s", want, accept)
		}
	}
}

// A server that is busy may have made the certificate all the same; a second one, whose key nobody holds, helps nobody.
func TestMistake62WhatMakesACertificateIsSentOnce(t *testing.T) {
	ctx := t.Context()
	for name, tc := range map[string]struct {
		call func(p *client.PKI) error
		want int
	}{
		"issue":          {func(p *client.PKI) error { _, err := p.Issue(ctx, "web", vaultapi.CertificateIssue{}); return err }, 1},
		"sign":           {func(p *client.PKI) error { _, err := p.Sign(ctx, "web", vaultapi.CertificateSign{}); return err }, 1},
		"sign a request": {func(p *client.PKI) error { _, err := p.SignRequest(ctx, "csr_1"); return err }, 1},
		"renew":          {func(p *client.PKI) error { _, err := p.Renew(ctx, "cert_1"); return err }, 1},
		"create an authority": {func(p *client.PKI) error {
			_, err := p.CreateAuthority(ctx, vaultapi.AuthorityWrite{})
			return err
		}, 1},
		"revoke": {func(p *client.PKI) error { _, err := p.Revoke(ctx, vaultapi.CertificateRevoke{}); return err }, 2},
	} {
		calls := 0
		srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			calls++
			w.WriteHeader(http.StatusServiceUnavailable)
		}))
		c := newClient(t, client.Options{BaseURL: srv.URL, Retries: 1})
		if err := tc.call(c.PKI); err == nil || calls != tc.want {
			t.Errorf("%s: sent %d times, want %d (%v)", name, calls, tc.want, err)
		}
		srv.Close()
	}
}

func TestPrivateKeysDoNotPrint(t *testing.T) {
	c, _ := serve(t, http.StatusOK, `{"id":"cert_1","private_key":"-----BEGIN hunter2"}`)
	got, err := c.PKI.Issue(t.Context(), "web", vaultapi.CertificateIssue{})
	if err != nil {
		t.Fatal(err)
	}
	if printed := fmt.Sprintf("%v %+v %#v", *got, got, got.PrivateKey); strings.Contains(printed, "hunter2") {
		t.Errorf("the key prints: %s", printed)
	}
	if got.PrivateKey.Reveal() != "-----BEGIN hunter2" {
		t.Error("the key is lost")
	}
	for _, body := range []string{`{"private_key":["hunter2"]}`, `{"private_key":"hunter2}`} {
		c, _ := serve(t, http.StatusOK, body)
		if _, err := c.PKI.Renew(t.Context(), "cert_1"); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", body, err)
		}
	}
}

func TestACertificateIsTakenAsItIs(t *testing.T) {
	const text = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n"
	c, _ := serve(t, http.StatusOK, text)
	if got, err := c.PKI.CertificatePEM(t.Context(), "cert_1"); got != text || err != nil {
		t.Errorf("%q, %v", got, err)
	}
	c, _ = serve(t, http.StatusNotFound, `{"error":{"code":"certificate_not_found","message":"no"}}`)
	if _, err := c.PKI.CertificatePEM(t.Context(), "cert_1"); !vaultapi.IsNotFound(err) {
		t.Errorf("error %v", err)
	}
	if _, err := c.PKI.CertificatePEM(t.Context(), ".."); vaultapi.Code(err) != "invalid_request" {
		t.Errorf("id ..: %v", err)
	}
}
