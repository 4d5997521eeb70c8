package certificates

import (
	"bytes"
	"crypto/x509"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/test/controlplane"
)

// install is a namespace on a real API server, at a time of the test's own.
type install struct {
	*testing.T
	*Keeper
	at   time.Time
	said []string
}

func newInstall(t *testing.T) *install {
	t.Helper()
	p := controlplane.Start(t)
	ns := p.Namespace(t, "certificates", nil)
	i := &install{T: t, at: now}
	i.Keeper = &Keeper{
		Secrets: corev1client.NewForConfigOrDie(p.Config).Secrets(ns), Namespace: ns, Make: true,
		Now: func() time.Time { return i.at }, Say: func(line string) { i.said = append(i.said, line) },
		Serving: []Serving{{SecretServer, "scaivault-server"}, {SecretWebhook, "scaivault-operator-webhook"}},
	}
	return i
}

// ensure runs the keeper and returns what it says is to be trusted.
func (i *install) ensure() []byte {
	i.Helper()
	trust, err := i.Ensure(i.Context())
	if err != nil {
		i.Fatal(err)
	}
	return trust
}

func (i *install) secret(name string) *corev1.Secret {
	i.Helper()
	s, err := i.Secrets.Get(i.Context(), name, metav1.GetOptions{})
	if err != nil {
		i.Fatal(err)
	}
	return s
}

func (i *install) cert(name string) *x509.Certificate {
	i.Helper()
	s := i.secret(name)
	p, err := parsePair(s.Data[corev1.TLSCertKey], s.Data[corev1.TLSPrivateKeyKey])
	if err != nil {
		i.Fatal(err)
	}
	return p.cert
}

// believed tells whether whoever trusts a bundle believes the server by a name.
func (i *install) believed(trust []byte, host string) bool {
	i.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(trust)
	_, err := i.cert(SecretServer).Verify(x509.VerifyOptions{Roots: roots, DNSName: host, CurrentTime: i.at})
	return err == nil
}

func (i *install) versions() string {
	i.Helper()
	var out []string
	for _, name := range []string{SecretAuthority, SecretServer, SecretWebhook} {
		out = append(out, i.secret(name).ResourceVersion)
	}
	return strings.Join(out, " ")
}

// The whole life of an install's certificates: made once, renewed in time, the authority replaced without a moment
// in which somebody who follows the bundle is left behind.
func TestCertificatesOfAnInstall(t *testing.T) {
	i := newInstall(t)
	first := i.ensure()
	host := "scaivault-server." + i.Namespace + ".svc"
	if !i.believed(first, host) || !i.believed(first, "localhost") || i.believed(first, "evil.example") || i.believed(nil, host) {
		t.Error("the first certificate is not that of its Service alone")
	}
	before := i.versions()
	if i.ensure(); i.versions() != before {
		t.Error("a second run wrote again")
	}
	i.Make = false // from here on it is the operator
	i.at = i.at.Add(200 * days)
	if i.ensure(); i.versions() != before {
		t.Error("renewed in the first two thirds of a life")
	}

	labelled := i.secret(SecretServer)
	labelled.Labels = map[string]string{"of": "somebody"}
	if _, err := i.Secrets.Update(t.Context(), labelled, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	i.at = i.at.Add(50 * days)
	serving, signer := i.cert(SecretServer), i.cert(SecretAuthority)
	i.ensure()
	if i.cert(SecretServer).Equal(serving) || !i.cert(SecretAuthority).Equal(signer) || !i.believed(first, host) {
		t.Error("the serving certificate is renewed in the last third of its life, by the same authority, for the same names")
	}
	if !maps.Equal(i.secret(SecretServer).Labels, labelled.Labels) {
		t.Error("labels of others were taken off")
	}

	i.at = now.Add(2500 * days)
	both := i.ensure()
	if n := len(parseBundle(both)); n != 2 || !i.cert(SecretAuthority).Equal(signer) || !i.believed(first, host) {
		t.Errorf("the next authority is to be known before it signs: %d to trust", n)
	}
	if !bytes.Equal(i.secret(SecretServer).Data[KeyBundle], both) || !bytes.Equal(i.secret(SecretWebhook).Data[KeyBundle], both) {
		t.Error("the bundle was not handed on")
	}
	i.at = i.at.Add(6 * days)
	if i.ensure(); !i.cert(SecretAuthority).Equal(signer) {
		t.Error("the next authority signs too soon")
	}
	i.at = i.at.Add(2 * days)
	i.ensure()
	if i.cert(SecretAuthority).Equal(signer) || i.believed(first, host) || !i.believed(both, host) {
		t.Error("after a week the next authority signs, and whoever followed the bundle believes it")
	}
	i.at = now.Add(3651 * days)
	if last := i.ensure(); len(parseBundle(last)) != 1 || !i.believed(last, host) {
		t.Error("the old authority is forgotten when it has ended")
	}
	i.keepsSecrets()
}

// keepsSecrets fails if anything that was said is in a Secret.
func (i *install) keepsSecrets() {
	i.Helper()
	all := strings.Join(i.said, "\n")
	for _, name := range []string{SecretAuthority, SecretServer, SecretWebhook} {
		for key, value := range i.secret(name).Data {
			for line := range strings.SplitSeq(string(value), "\n") {
				if len(line) > 16 && strings.Contains(all, line) {
					i.Errorf("%s of %s was said", key, name)
				}
			}
		}
	}
	if len(i.said) < 8 {
		i.Errorf("said only %q", i.said)
	}
}

// An operator that was away for eleven years makes an authority that lives, and one chain.
func TestCertificatesAfterYears(t *testing.T) {
	i := newInstall(t)
	i.ensure()
	i.Make, i.at = false, now.Add(4000*days)
	if trust := i.ensure(); !i.believed(trust, "localhost") || len(parseBundle(trust)) != 1 {
		t.Error("nobody is believed")
	}
}

// What the install's own authority did not make is left alone: a certificate of somebody else's, an install without
// an authority. A Secret that holds no certificate is said, and nothing of it is told.
func TestCertificatesOfOthers(t *testing.T) {
	i := newInstall(t)
	i.Make = false
	if trust := i.ensure(); trust != nil {
		t.Error("an authority out of nothing")
	}
	if _, err := i.Secrets.Get(t.Context(), SecretAuthority, metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("an operator that renews made an authority: %v", err)
	}
	theirs, err := newAuthorityPair(now.Add(-3000*days), "elsewhere")
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := theirs.pem()
	if err != nil {
		t.Fatal(err)
	}
	foreign := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretServer}, Data: map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key}}
	if foreign, err = i.Secrets.Create(t.Context(), foreign, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	i.Make = true
	i.ensure()
	if i.secret(SecretServer).ResourceVersion != foreign.ResourceVersion {
		t.Error("a certificate of another authority was replaced")
	}
	broken := i.secret(SecretWebhook)
	broken.Data[corev1.TLSPrivateKeyKey] = []byte("private")
	if _, err := i.Secrets.Update(t.Context(), broken, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := i.Ensure(t.Context()); err == nil || !strings.Contains(err.Error(), SecretWebhook) || strings.Contains(err.Error(), "private") {
		t.Errorf("a broken Secret: %v", err)
	}
}

// Two keepers at a time: one wins, the other is told and writes nothing over it.
func TestCertificatesByTwo(t *testing.T) {
	i := newInstall(t)
	i.ensure()
	stale := i.secret(SecretServer)
	i.at = i.at.Add(300 * days)
	i.ensure()
	won := i.secret(SecretServer)
	if _, err := i.put(t.Context(), stale, stale.Data); err == nil {
		t.Error("an older state was written over a newer one")
	}
	if i.secret(SecretServer).ResourceVersion != won.ResourceVersion {
		t.Error("the winner's certificate is gone")
	}
}
