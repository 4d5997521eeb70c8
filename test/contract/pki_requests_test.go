package contract

import "testing"

// requestTraffic: the operator's identity asks, and the administrator decides.
func requestTraffic(t *testing.T, r *recorder) {
	const all, host = "/v1/pki/csr", "a.svc.cluster.local"
	made := r.do(t, call{method: "POST", target: "/v1/auth/exchange", anonymous: true, body: object{"subject_token": workloadToken()}, want: 200})
	asker := map[string]string{"Authorization": "Bearer " + text(t, made, "access_token")}
	ask := func() string {
		body := object{"role": "svc-mtls", "csr_pem": request(t, host), "ttl": "1h"}
		return all + "/" + text(t, r.do(t, call{method: "POST", target: all, header: asker, body: body, want: 201}), "id")
	}
	one, other := ask(), ask()
	for _, c := range []call{
		{method: "POST", target: all, body: object{"role": "none", "csr_pem": request(t, host)}, want: 404},
		{method: "POST", target: all, body: object{"role": "svc-mtls", "csr_pem": request(t, "example.com")}, want: 422},
		{method: "GET", target: all + "?status=pending&limit=1", want: 200},
		{method: "GET", target: all + "?status=lost", want: 400},
		{method: "GET", target: one, want: 200},
		{method: "GET", target: all + "/csr_none", want: 404},
		{method: "POST", target: one + "/sign", header: asker, want: 409},
		{method: "POST", target: one + "/approve", header: asker, want: 403},
		{method: "POST", target: one + "/approve", body: object{"comment": "seen"}, want: 200},
		{method: "POST", target: one + "/approve", want: 409},
		{method: "POST", target: one + "/sign", header: asker, want: 201},
		{method: "POST", target: one + "/sign", header: asker, want: 409},
		{method: "POST", target: other + "/reject", body: object{"comment": "no"}, want: 200},
		{method: "POST", target: other + "/reject", want: 409},
	} {
		r.do(t, c)
	}
}
