package contract

import "testing"

func revocationTraffic(t *testing.T, r *recorder, one, none string) {
	request := map[string]string{"Content-Type": "application/ocsp-request"} // no request is in it: an answer of OCSP all the same
	for _, c := range []call{
		{method: "POST", target: one + "/crl", want: 200},
		{method: "POST", target: none + "/crl", want: 404},
		{method: "POST", target: one + "/crl", anonymous: true, want: 401},
		{method: "GET", target: one + "/crl", anonymous: true, want: 200},
		{method: "GET", target: none + "/crl", anonymous: true, want: 404},
		{method: "GET", target: one + "/certificate.der", anonymous: true, want: 200},
		{method: "GET", target: one + "/certificate.der?key=00", anonymous: true, want: 404},
		{method: "POST", target: one + "/ocsp", anonymous: true, body: object{}, header: request, want: 200},
		{method: "POST", target: one + "/ocsp", anonymous: true, body: object{}, want: 400},
		{method: "POST", target: none + "/ocsp", anonymous: true, body: object{}, header: request, want: 404},
		{method: "GET", target: one + "/ocsp/MAA=", anonymous: true, want: 200},
		{method: "GET", target: none + "/ocsp/MAA=", anonymous: true, want: 404},
	} {
		r.do(t, c)
	}
}
