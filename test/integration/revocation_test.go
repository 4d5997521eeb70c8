package integration

import (
	"crypto"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/vault"
)

// authorities are a root, an intermediate with another kind of key, and a certificate, with their files.
type authorities struct {
	*vault.Composed
	dir          string
	root, middle vaultapi.Authority
	leaf         vaultapi.IssuedCertificate
}

func establish(t *testing.T, s *vault.Composed, rootKey, middleKey string) *authorities {
	t.Helper()
	a := &authorities{Composed: s, dir: t.TempDir()}
	s.Must(vault.Request{Method: "POST", Path: "/v1/pki/ca", Body: object{"name": "root", "common_name": "Root", "ca_type": "root", "key_type": rootKey}}, &a.root)
	s.Must(vault.Request{Method: "POST", Path: "/v1/pki/ca", Body: object{
		"name": "middle", "common_name": "Middle", "ca_type": "intermediate", "parent_ca_id": a.root.ID, "key_type": middleKey}}, &a.middle)
	s.Must(vault.Request{Method: "POST", Path: "/v1/pki/roles", Body: object{"name": "web", "ca_id": a.middle.ID, "allowed_domains": []string{"*.example.com"}}}, nil)
	a.leaf = a.issue()
	a.file("root.pem", a.certificate(a.root.ID))
	a.file("middle.pem", a.certificate(a.middle.ID))
	a.file("leaf.pem", []byte(a.leaf.CertificatePEM))
	return a
}

func (a *authorities) issue() (made vaultapi.IssuedCertificate) {
	a.TB.Helper()
	a.Must(vault.Request{Method: "POST", Path: "/v1/pki/issue/web", Body: object{"common_name": "a.example.com"}}, &made)
	return made
}

func (a *authorities) certificate(id string) []byte {
	a.TB.Helper()
	der := a.public(a.Caller, "/v1/pki/ca/"+id+"/certificate.der", "application/pkix-cert").Body
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// public makes a call as everybody may.
func (a *authorities) public(at vault.Caller, path, media string) vault.Answer {
	a.TB.Helper()
	got := at.Do(vault.Request{Path: path, Anonymous: true, Header: map[string]string{"Accept": media}})
	if got.Status != http.StatusOK || got.Header.Get("Content-Type") != media {
		a.TB.Fatalf("%s: %d %s %s", path, got.Status, got.Header.Get("Content-Type"), got.Body)
	}
	return got
}

func (a *authorities) file(name string, content []byte) {
	a.TB.Helper()
	if err := os.WriteFile(filepath.Join(a.dir, name), content, 0o600); err != nil {
		a.TB.Fatal(err)
	}
}

// openssl runs the real one in the directory of the files and gives what it says.
func (a *authorities) openssl(args ...string) (string, error) {
	a.TB.Helper()
	cmd := exec.CommandContext(a.TB.Context(), "openssl", args...)
	cmd.Dir = a.dir
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// verify has openssl check a certificate against the lists of all authorities, as a server gives them now.
func (a *authorities) verify(at vault.Caller) (string, error) {
	a.TB.Helper()
	var lists []byte
	for _, id := range []string{a.root.ID, a.middle.ID} {
		lists = append(lists, a.public(at, "/v1/pki/ca/"+id+"/crl", "application/x-pem-file").Body...)
	}
	a.file("lists.pem", lists)
	return a.openssl("verify", "-crl_check_all", "-CAfile", "root.pem", "-untrusted", "middle.pem", "-CRLfile", "lists.pem", "leaf.pem")
}

// ask has openssl ask a server's OCSP.
func (a *authorities) ask(at vault.Caller, id, hash, issuer, cert string) string {
	a.TB.Helper()
	out, err := a.openssl("ocsp", hash, "-issuer", issuer, "-cert", cert, "-url", at.URL+"/v1/pki/ca/"+id+"/ocsp",
		"-CAfile", "root.pem", "-verify_other", "middle.pem")
	if err != nil || !strings.Contains(out, "Response verify OK") {
		a.TB.Fatalf("openssl ocsp: %v\n%s", err, out)
	}
	_, said, _ := strings.Cut(out, cert+": ")
	status, _, _ := strings.Cut(said, "\n")
	return status
}

// openssl itself sees a revocation at once: by the lists and by OCSP, asked of the server that revoked and, on
// PostgreSQL, of another, both of which had answered before and kept their answers.
func TestOpensslSeesRevocationAtOnce(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		for name, keys := range map[string][2]string{"ec below rsa": {"rsa", "ec"}, "ed25519 below ec": {"ec", "ed25519"}} {
			t.Run(name, func(t *testing.T) {
				s := vault.Compose(t, s.Engine)
				s.Start()
				servers := []vault.Caller{s.Caller}
				if s.Engine == store.Postgres {
					servers = append(servers, s.Twin().Caller)
				}
				seenAtOnce(establish(t, s, keys[0], keys[1]), servers)
			})
		}
	})
}

func seenAtOnce(a *authorities, servers []vault.Caller) {
	t := a.TB
	t.Helper()
	for _, at := range servers {
		if out, err := a.verify(at); err != nil {
			t.Fatalf("before: %v\n%s", err, out)
		}
		if got := a.ask(at, a.middle.ID, "-sha1", "middle.pem", "leaf.pem"); got != "good" {
			t.Fatalf("before: %s", got)
		}
		if got := a.ask(at, a.root.ID, "-sha256", "root.pem", "middle.pem"); got != "good" {
			t.Fatalf("before, the authority: %s", got)
		}
	}
	a.Must(vault.Request{Method: "POST", Path: "/v1/pki/revoke", Body: object{"serial_number": strings.ToLower(a.leaf.SerialNumber), "reason": "key_compromise"}}, nil)
	for _, at := range servers {
		if got := a.ask(at, a.middle.ID, "-sha1", "middle.pem", "leaf.pem"); got != "revoked" {
			t.Errorf("after: OCSP says %q", got)
		}
		if out, err := a.verify(at); err == nil || !strings.Contains(out, "certificate revoked") {
			t.Errorf("after: openssl verify says %v\n%s", err, out)
		}
	}
	a.authorityGoes(servers)
}

// authorityGoes revokes the intermediate: a certificate of it that nobody revoked is revoked with it.
func (a *authorities) authorityGoes(servers []vault.Caller) {
	t := a.TB
	t.Helper()
	a.file("leaf.pem", []byte(a.issue().CertificatePEM))
	if got := a.ask(servers[0], a.middle.ID, "-sha1", "middle.pem", "leaf.pem"); got != "good" {
		t.Fatalf("another certificate: %s", got)
	}
	a.Must(vault.Request{Method: "POST", Path: "/v1/pki/ca/" + a.middle.ID + "/revoke", Body: object{"reason": "ca_compromise"}}, nil)
	for _, at := range servers {
		for cert, by := range map[string][2]string{"leaf.pem": {a.middle.ID, "middle.pem"}, "middle.pem": {a.root.ID, "root.pem"}} {
			if got := a.ask(at, by[0], "-sha256", by[1], cert); got != "revoked" {
				t.Errorf("the authority is revoked, and OCSP says of %s: %q", cert, got)
			}
		}
		if out, err := a.verify(at); err == nil || !strings.Contains(out, "certificate revoked") {
			t.Errorf("the authority is revoked, and openssl verify says %v\n%s", err, out)
		}
		text, err := a.openssl("crl", "-in", "lists.pem", "-noout", "-text", "-CAfile", "root.pem")
		if err != nil || !strings.Contains(text, "CA Compromise") || !strings.Contains(text, "verify OK") {
			t.Errorf("the root's list: %v\n%s", err, text)
		}
	}
}

// What a certificate says about where to ask is where the answers are.
func TestAddressesInCertificates(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Config.PublicURL = "http://vault.example.com/base/"
	s.Start()
	a := establish(t, s, "ec", "ec")
	block, _ := pem.Decode([]byte(a.leaf.CertificatePEM))
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	block, _ = pem.Decode(a.certificate(a.middle.ID))
	issuer, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if len(issuer.CRLDistributionPoints) != 1 || !strings.Contains(issuer.CRLDistributionPoints[0], a.root.ID) {
		t.Errorf("the intermediate names %v", issuer.CRLDistributionPoints)
	}
	at := func(list []string) string {
		if len(list) != 1 || !strings.HasPrefix(list[0], "http://vault.example.com/base/v1/pki/ca/"+a.middle.ID+"/") {
			t.Fatalf("address %v", list)
		}
		return strings.TrimPrefix(list[0], "http://vault.example.com/base")
	}
	list, err := x509.ParseRevocationList(a.public(a.Caller, at(leaf.CRLDistributionPoints), "application/pkix-crl").Body)
	if err != nil || list.CheckSignatureFrom(issuer) != nil {
		t.Errorf("list: %v", err)
	}
	if got := a.public(a.Caller, at(leaf.IssuingCertificateURL), "application/pkix-cert").Body; string(got) != string(issuer.Raw) {
		t.Error("another issuer")
	}
	request, err := ocsp.CreateRequest(leaf, issuer, &ocsp.RequestOptions{Hash: crypto.SHA1})
	if err != nil {
		t.Fatal(err)
	}
	text := base64.StdEncoding.EncodeToString(request)
	for _, form := range []string{text, url.PathEscape(text), url.QueryEscape(text), strings.TrimRight(text, "=")} {
		got := a.public(a.Caller, at(leaf.OCSPServer)+"/"+form, "application/ocsp-response")
		answer, err := ocsp.ParseResponseForCert(got.Body, leaf, issuer)
		if err != nil || answer.Status != ocsp.Good {
			t.Errorf("%s: %v", form, err)
		}
		if c := got.Header.Get("Cache-Control"); c != "public, no-transform, must-revalidate, max-age=1" || got.Header.Get("Last-Modified") == "" {
			t.Errorf("headers %v", got.Header)
		}
		again := a.Do(vault.Request{Path: at(leaf.OCSPServer) + "/" + form, Anonymous: true, Header: map[string]string{"If-None-Match": got.Header.Get("Etag")}})
		if again.Status != http.StatusNotModified {
			t.Errorf("asked again: %d", again.Status)
		}
	}
}

// What hostile clients send to the routes that anybody may call is refused, cheaply, and changes nothing.
func TestHostileAskers(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	w := s.World(s.Caller, "w", canary)
	s.Database().Tenant(victim, "ptn_default")
	one, ask := "/v1/pki/ca/"+w.Authority, map[string]string{"Content-Type": "application/ocsp-request"}
	malformed := string(ocsp.MalformedRequestErrorResponse)
	for name, c := range map[string]struct {
		vault.Request
		status int
		body   string // "": any
	}{
		"a request of 3 MiB":       {vault.Request{Method: "POST", Path: one + "/ocsp", Header: ask, Body: make([]byte, 3<<20)}, 413, ""},
		"a request of 17 KiB":      {vault.Request{Method: "POST", Path: one + "/ocsp", Header: ask, Body: make([]byte, 17<<10)}, 413, ""},
		"no request":               {vault.Request{Method: "POST", Path: one + "/ocsp", Header: ask, Body: "{}"}, 200, malformed},
		"JSON":                     {vault.Request{Method: "POST", Path: one + "/ocsp", Body: object{}}, 400, ""},
		"slashes only":             {vault.Request{Path: one + "/ocsp/////"}, 200, malformed},
		"dots":                     {vault.Request{Path: one + "/ocsp/../crl"}, 400, ""},
		"encoded dots":             {vault.Request{Path: one + "/ocsp/%2e%2e"}, 400, ""},
		"dots behind base64":       {vault.Request{Path: one + "/ocsp/MEUw/../../secrets"}, 400, ""},
		"encoded twice":            {vault.Request{Path: one + "/ocsp/MEU%252F"}, 400, ""},
		"NUL":                      {vault.Request{Path: one + "/ocsp/MEU%00"}, 400, ""},
		"padding within":           {vault.Request{Path: one + "/ocsp/ME=Uw"}, 200, malformed},
		"another alphabet":         {vault.Request{Path: one + "/ocsp/%D0%9C"}, 200, malformed},
		"a path of 3 KiB":          {vault.Request{Path: one + "/ocsp/" + strings.Repeat("A", 3<<10)}, 400, ""},
		"an id with a slash":       {vault.Request{Path: "/v1/pki/ca/x%2Fy/ocsp/MEUw"}, 400, ""},
		"two keys":                 {vault.Request{Path: one + "/crl?key=00&key=11"}, 400, ""},
		"its own tenant":           {vault.Request{Path: "/v1/t/tnt_default/pki/ca/" + w.Authority + "/crl"}, 200, ""},
		"another tenant":           {vault.Request{Path: "/v1/t/" + victim + "/pki/ca/" + w.Authority + "/crl"}, 404, ""},
		"another tenant, by OCSP":  {vault.Request{Path: "/v1/t/" + victim + "/pki/ca/" + w.Authority + "/ocsp/MEUw"}, 404, ""},
		"a name":                   {vault.Request{Path: "/v1/pki/ca/w-root/crl"}, 404, ""},
		"a list for anybody's say": {vault.Request{Method: "POST", Path: one + "/crl"}, 401, ""},
	} {
		c.Anonymous = true
		got := s.Do(c.Request)
		if got.Status != c.status || c.body != "" && string(got.Body) != c.body {
			t.Errorf("%s: %d %.200q, want %d %q", name, got.Status, got.Body, c.status, c.body)
		}
		if got.Status != http.StatusOK || c.body != "" {
			if cached := got.Header.Get("Cache-Control"); cached != "no-store" {
				t.Errorf("%s: a refusal with Cache-Control %q", name, cached)
			}
		}
	}
	if got := string(s.Must(vault.Request{Path: "/v1/metrics"}, nil).Body); !strings.Contains(got, "scaivault_pki_ocsp_signatures_total 1\n") {
		t.Error("more was signed than what the world asked for")
	}
}
