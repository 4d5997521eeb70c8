package pkiissuer

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// What the vault says of a request, and what follows. Only what the request itself brings is final.
func TestJudge(t *testing.T) {
	said := func(status int, code string, details map[string]any) error {
		return &vaultapi.Error{Status: status, Code: code, Message: "said the vault", Details: details}
	}
	fields := map[string]any{"fields": map[string]any{"csr_pem.dns[0]": "is not allowed by the role", "alt_names": "too many"}}
	for name, c := range map[string]struct {
		err          error
		final, retry bool
		reason, says string
	}{
		"a name outside of the role": {said(422, "validation_error", fields), true, false, ReasonRequestRefused, "alt_names too many; csr_pem.dns[0] is not allowed by the role"},
		"a life that is none":        {said(400, "invalid_duration", nil), true, false, ReasonRequestRefused, "said the vault"},
		"no right":                   {said(403, "access_denied", nil), false, false, v1alpha1.ReasonAccessDenied, "allow issue on pki:web"},
		"no scope":                   {said(403, "insufficient_scope", nil), false, false, v1alpha1.ReasonAccessDenied, "sa:shop:web may not issue"},
		"no role":                    {said(404, "role_not_found", nil), false, false, v1alpha1.ReasonRoleMissing, "no role web"},
		"a role of no such name":     {said(400, "invalid_role", nil), false, false, v1alpha1.ReasonRoleMissing, "no role web"},
		"authority revoked":          {said(409, "ca_inactive", nil), false, false, v1alpha1.ReasonAuthorityInactive, "give the role another authority"},
		"role changed meanwhile":     {said(409, "version_conflict", nil), false, true, v1alpha1.ReasonVaultUnavailable, "said the vault"},
		"token not known":            {said(401, "unauthorized", nil), false, true, v1alpha1.ReasonVaultUnavailable, "said the vault"},
		"too many calls":             {said(429, "rate_limit_exceeded", nil), false, false, v1alpha1.ReasonVaultUnavailable, "said the vault"},
		"sealed":                     {said(503, "service_unavailable", nil), false, true, v1alpha1.ReasonVaultUnavailable, "said the vault"},
		"a fault of the vault":       {said(500, "internal_error", nil), false, true, v1alpha1.ReasonVaultUnavailable, "said the vault"},
		"no answer":                  {errors.New("connection refused"), false, true, v1alpha1.ReasonVaultUnavailable, "cannot be read"},
	} {
		v := judge(explain(c.err, "sa:shop:web", "web"))
		if v.final != c.final || (v.retry != nil) != c.retry || v.reason != c.reason || !strings.Contains(v.message, c.says) {
			t.Errorf("%s: %+v", name, v)
		}
	}
	for name, c := range map[string]struct {
		err    error
		final  bool
		reason string
	}{
		"no ServiceAccount": {reconcile.Waiting(v1alpha1.ReasonServiceAccountMissing, time.Minute, errors.New("x")), false, v1alpha1.ReasonServiceAccountMissing},
		"another vault":     {reconcile.Stalled(v1alpha1.ReasonVaultReplaced, errors.New("x")), false, v1alpha1.ReasonVaultReplaced},
		"made anew":         {reconcile.Again(errors.New("x")), false, v1alpha1.ReasonRetrying},
		"the API server":    {errors.New("x"), false, v1alpha1.ReasonRetrying},
		"refused":           {refuse(ReasonRequestRefused, errors.New("x")), true, ReasonRequestRefused},
	} {
		if v := judge(c.err); v.final != c.final || v.reason != c.reason {
			t.Errorf("%s: %+v", name, v)
		}
	}
	limited := explain(&vaultapi.Error{Status: 429, Code: "rate_limit_exceeded", RetryAfter: 9 * time.Second}, "sa:shop:web", "web")
	if v := judge(limited); v.pause != 9*time.Second {
		t.Errorf("after a rate limit: %+v", v)
	}
	if v := judge(denied("sa:shop:web", "web", "access_denied")); v.pause != lookAgain {
		t.Errorf("without a right: %+v", v)
	}
	if v := judge(errors.New(strings.Repeat("x", 10_000))); len(v.message) > 1024 {
		t.Errorf("a message of %d bytes", len(v.message))
	}
}

// What is never signed is refused before the vault is asked.
func TestCheck(t *testing.T) {
	good := csr(t, key(t))
	broken := append([]byte{}, good...)
	broken[len(broken)/2] ^= 1
	for name, c := range map[string]struct {
		asked asked
		want  string // part of the refusal; "": none
	}{
		"usual":           {asked{csr: good, usages: []string{"digital signature", "key encipherment"}}, ""},
		"of TLS":          {asked{csr: good, usages: []string{"server auth", "client auth"}}, ""},
		"no usages":       {asked{csr: good}, ""},
		"an authority":    {asked{csr: good, isCA: true}, "spec.isCA"},
		"code signing":    {asked{csr: good, usages: []string{"server auth", "code signing"}}, `"code signing" is not issued`},
		"any usage":       {asked{csr: good, usages: []string{"any"}}, `"any" is not issued`},
		"signing others":  {asked{csr: good, usages: []string{"cert sign"}}, `"cert sign" is not issued`},
		"no request":      {asked{}, "spec.request"},
		"no PEM":          {asked{csr: []byte("nonsense")}, "spec.request"},
		"a broken one":    {asked{csr: broken}, "spec.request"},
		"two of them":     {asked{csr: append(append([]byte{}, good...), good...)}, "spec.request"},
		"a huge one":      {asked{csr: []byte(strings.Repeat("A", 1<<20))}, "spec.request"},
		"other PEM block": {asked{csr: []byte(strings.ReplaceAll(string(good), "CERTIFICATE REQUEST", "PRIVATE KEY"))}, "spec.request"},
	} {
		err := c.asked.check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !judge(err).final || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

// A certificate lives as long as was asked for, and not longer than the issuer gives.
func TestLife(t *testing.T) {
	const hour = time.Hour
	for _, c := range []struct{ asked, longest, want time.Duration }{
		{0, 0, 0}, {hour, 0, hour}, {0, hour, hour}, {hour, 2 * hour, hour}, {2 * hour, hour, hour}, {hour, hour, hour},
	} {
		if got := life(c.asked, c.longest); got != c.want {
			t.Errorf("%s of at most %s: %s, want %s", c.asked, c.longest, got, c.want)
		}
	}
}

// Mistake 62: an issuer that answered with a certificate for another key was asked again at once, and for ever, until
// the cluster was full of requests. Such an answer ends the request and is never written.
func TestMistake62AnswersThatDoNotFit(t *testing.T) {
	mine, other := key(t), key(t)
	root := authority(t, "root", nil)
	middle := authority(t, "middle", root)
	stranger := authority(t, "stranger", nil)
	day := now.Add(24 * time.Hour)
	a := asked{csr: csr(t, mine)}
	for name, c := range map[string]struct {
		answer    *vaultapi.IssuedCertificate
		chain, ca string
	}{
		"of a root":                   {answer(root.leaf(t, &mine.PublicKey, day), root.cert), "web", "root"},
		"of an intermediate":          {answer(middle.leaf(t, &mine.PublicKey, day), middle.cert, root.cert), "web middle", "root"},
		"of one whose root is hidden": {answer(middle.leaf(t, &mine.PublicKey, day), middle.cert), "web middle", "middle"},
		"for another key":             {answer(root.leaf(t, &other.PublicKey, day), root.cert), "", ""},
		"ended already":               {answer(root.leaf(t, &mine.PublicKey, now.Add(-time.Minute)), root.cert), "", ""},
		"ends now":                    {answer(root.leaf(t, &mine.PublicKey, now), root.cert), "", ""},
		"of another authority":        {answer(root.leaf(t, &mine.PublicKey, day), stranger.cert), "", ""},
		"of a chain with a gap":       {answer(middle.leaf(t, &mine.PublicKey, day), root.cert), "", ""},
		"no certificate":              {&vaultapi.IssuedCertificate{Certificate: "<html>"}, "", ""},
		"nothing":                     {&vaultapi.IssuedCertificate{}, "", ""},
	} {
		got, err := a.fits(c.answer, now)
		if c.chain == "" {
			if err == nil || !judge(err).final || judge(err).reason != ReasonAnswerUnfit {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if chain, ca := namesOf(t, got.chain), namesOf(t, got.ca); chain != c.chain || ca != c.ca {
			t.Errorf("%s: presents %q of %q, want %q of %q", name, chain, ca, c.chain, c.ca)
		}
	}
}

// What was signed is not signed again while it could not be written.
func TestSignedOnce(t *testing.T) {
	var kept answers
	n := 0
	sign := func() (*certificate, error) { n++; return &certificate{serial: "1"}, nil }
	for range 3 {
		if got, err := kept.once("a", sign); err != nil || got.serial != "1" {
			t.Fatalf("%v, %v", got, err)
		}
	}
	if n != 1 {
		t.Errorf("signed %d times", n)
	}
	if _, err := kept.once("b", func() (*certificate, error) { return nil, errors.New("not now") }); err == nil {
		t.Error("an error was lost")
	}
	if _, err := kept.once("b", sign); err != nil || n != 2 {
		t.Errorf("after an error: %v, signed %d times", err, n)
	}
	kept.forget("a")
	if _, err := kept.once("a", sign); err != nil || n != 3 {
		t.Errorf("after it was written: %v, signed %d times", err, n)
	}
}
