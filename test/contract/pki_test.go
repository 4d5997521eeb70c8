package contract

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"testing"
)

func pkiTraffic(t *testing.T, r *recorder) {
	const all, roles = "/v1/pki/ca", "/v1/pki/roles"
	root := object{"name": "root", "common_name": "Root", "ca_type": "root", "key_type": "ec", "key_size": 256}
	id := text(t, r.do(t, call{method: "POST", target: all, body: root, want: 201}), "id")
	one, none := all+"/"+id, all+"/ca_none"
	role := object{"name": "svc-mtls", "ca_id": id, "allowed_domains": []string{"*.svc.cluster.local"}, "max_ttl": "720h", "store_private_keys": true}
	for _, c := range []call{
		{method: "POST", target: all, body: root, want: 409},
		{method: "POST", target: all, body: object{"name": "x", "common_name": "X", "ca_type": "leaf"}, want: 422},
		{method: "POST", target: all, body: object{"name": "below", "common_name": "Below", "ca_type": "intermediate", "parent_ca_id": id,
			"key_type": "ec", "permitted_dns_domains": []string{"svc.cluster.local"}}, want: 201},
		{method: "POST", target: all, body: object{"name": "same", "common_name": "Root", "ca_type": "intermediate", "parent_ca_id": id}, want: 422},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?limit=1", want: 200},
		{method: "GET", target: all + "?cursor=nonsense", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: none, want: 404},
		{method: "GET", target: one + "/certificate", want: 200},
		{method: "GET", target: none + "/certificate", want: 404},
		{method: "POST", target: roles, body: role, want: 201},
		{method: "POST", target: roles, body: role, want: 409},
		{method: "POST", target: roles, body: object{"name": "No Name", "ca_id": id}, want: 400},
		{method: "GET", target: roles, want: 200},
		{method: "GET", target: roles + "?cursor=nonsense", want: 400},
		{method: "GET", target: roles + "/svc-mtls", want: 200},
		{method: "GET", target: roles + "/none", want: 404},
		{method: "PATCH", target: roles + "/svc-mtls", body: object{"allow_ip_sans": true, "require_cn": false}, want: 200},
		{method: "PATCH", target: roles + "/svc-mtls", body: object{"max_ttl": "soon"}, want: 400},
	} {
		r.do(t, c)
	}
	certificateTraffic(t, r)
	requestTraffic(t, r)
	slotTraffic(t, r, id)
	outsideTraffic(t, r)
	revocationTraffic(t, r, one, none)
	for _, c := range []call{
		{method: "DELETE", target: roles + "/svc-mtls", want: 204},
		{method: "DELETE", target: roles + "/svc-mtls", want: 404},
		{method: "POST", target: one + "/revoke", body: object{"reason": "because"}, want: 422},
		{method: "POST", target: one + "/revoke", body: object{"reason": "cessation_of_operation"}, want: 200},
		{method: "POST", target: none + "/revoke", body: object{}, want: 404},
	} {
		r.do(t, c)
	}
}

func certificateTraffic(t *testing.T, r *recorder) {
	const all, issue, sign, host = "/v1/pki/certificates", "/v1/pki/issue/svc-mtls", "/v1/pki/sign/svc-mtls", "a.svc.cluster.local"
	made := r.do(t, call{method: "POST", target: issue, body: object{"common_name": host, "alt_names": []string{"b.svc.cluster.local"}, "ttl": "168h"}, want: 201})
	one, none := all+"/"+text(t, made, "id"), all+"/cert_none"
	for _, c := range []call{
		{method: "POST", target: issue, body: object{"common_name": "example.com"}, want: 422},
		{method: "POST", target: "/v1/pki/issue/none", body: object{"common_name": host}, want: 404},
		{method: "POST", target: sign, body: object{"csr_pem": request(t, host), "ttl": "1h"}, want: 201},
		{method: "POST", target: sign, body: object{"csr_pem": "no request"}, want: 422},
		{method: "GET", target: all, want: 200},
		{method: "GET", target: all + "?expiring_within=30d&include_revoked=true&limit=1", want: 200},
		{method: "GET", target: all + "?expiring_within=soon", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: none, want: 404},
		{method: "GET", target: one + "/pem", want: 200},
		{method: "GET", target: none + "/pem", want: 404},
		{method: "GET", target: one + "/key", want: 200},
		{method: "GET", target: none + "/key", want: 404},
		{method: "POST", target: one + "/renew", want: 201},
		{method: "POST", target: none + "/renew", want: 404},
		{method: "POST", target: "/v1/pki/revoke", body: object{"serial_number": text(t, made, "serial_number"), "reason": "key_compromise"}, want: 200},
		{method: "POST", target: "/v1/pki/revoke", body: object{"serial_number": "00:11"}, want: 404},
		{method: "POST", target: one + "/renew", want: 409},
	} {
		r.do(t, c)
	}
}

func request(t *testing.T, host string) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: host}, DNSNames: []string{host}}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}
