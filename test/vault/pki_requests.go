package vault

import "github.com/scailabs/scaivault/pkg/vaultapi"

// requests hands in certificate requests: one that waits, one to be refused, and one that is approved.
func (w *World) requests() {
	w.by.TB.Helper()
	for _, id := range []*string{&w.Asked, &w.refused, &w.approved} {
		var made vaultapi.CertificateRequest
		w.asker.Must(Request{Method: "POST", Path: "/v1/pki/csr", Body: w.asking()}, &made)
		*id = made.ID
	}
	w.by.Must(Request{Method: "POST", Path: "/v1/pki/csr/" + w.approved + "/approve"}, nil)
	var list vaultapi.CertificateRequestList
	w.by.Must(Request{Path: "/v1/pki/csr?limit=1"}, &list)
	w.AskedCursor = *list.Cursor
}

func (w *World) asking() object {
	return object{"role": w.Name + "-spare", "csr_pem": w.request()}
}

func (w *World) requestCalls() map[string]Request {
	const all = "/v1/pki/csr"
	one := all + "/" + w.Asked
	return map[string]Request{
		"listCertificateRequests":   {Path: all + "?limit=1&cursor=" + w.AskedCursor},
		"submitCertificateRequest":  {Path: all, Body: w.asking()},
		"readCertificateRequest":    {Path: one},
		"approveCertificateRequest": {Path: one + "/approve", Body: object{"comment": "of " + w.Name}},
		"rejectCertificateRequest":  {Path: all + "/" + w.refused + "/reject"},
		"signCertificateRequest":    {Path: all + "/" + w.approved + "/sign"},
	}
}
