package certificates

import (
	"bytes"
	"context"
	"crypto/x509"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Secrets of the install.
const (
	SecretAuthority = "scaivault-ca"
	SecretServer    = "scaivault-server-tls"
	SecretWebhook   = "scaivault-operator-webhook-tls"
)

// Keeper keeps the certificates of one install. All fields but Make are required.
type Keeper struct {
	Secrets   corev1client.SecretInterface // of the install's namespace
	Namespace string
	// Serving are the certificates to keep.
	Serving []Serving
	// Make makes what is missing, the authority too. Without it what is there is renewed, and what is missing left:
	// the certificates of such an install come from elsewhere, or are yet to be made.
	Make bool
	Now  func() time.Time
	// Say tells what was done, in one line without any value.
	Say func(string)
}

// Serving is a certificate by which a Service of the install is known.
type Serving struct {
	Secret  string
	Service string // not needed to renew
}

// Ensure renews what ages, and makes what is missing. It returns the authorities to trust in PEM form, nil where the
// install has none of its own.
func (k *Keeper) Ensure(ctx context.Context) ([]byte, error) {
	a, err := k.authority(ctx)
	if err != nil || a == nil {
		return nil, err
	}
	for _, s := range k.Serving {
		if err := k.serving(ctx, s, a); err != nil {
			return nil, err
		}
	}
	return bundle(a.trusted), nil
}

// authority returns the authority after the turns that are due; nil if there is none and none is to be made.
func (k *Keeper) authority(ctx context.Context) (*authority, error) {
	have, err := k.get(ctx, SecretAuthority)
	if err != nil {
		return nil, err
	}
	if have == nil {
		return k.firstAuthority(ctx)
	}
	a, err := parseAuthority(have)
	if err != nil {
		return nil, err
	}
	for t := a.turn(k.Now()); t != stay; t = a.turn(k.Now()) {
		if a, err = a.take(t, k.Now(), k.Namespace); err != nil {
			return nil, err
		}
		if have, err = k.putAuthority(ctx, have, a); err != nil {
			return nil, err
		}
	}
	return &a, nil
}

func (k *Keeper) firstAuthority(ctx context.Context) (*authority, error) {
	if !k.Make {
		return nil, nil
	}
	p, err := newAuthorityPair(k.Now(), k.Namespace)
	if err != nil {
		return nil, err
	}
	a := authority{current: p, trusted: []*x509.Certificate{p.cert}}
	_, err = k.putAuthority(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: SecretAuthority}, Type: corev1.SecretTypeTLS}, a)
	return &a, err
}

func (k *Keeper) putAuthority(ctx context.Context, have *corev1.Secret, a authority) (*corev1.Secret, error) {
	data, err := a.data()
	if err != nil {
		return nil, err
	}
	put, err := k.put(ctx, have, data)
	if err != nil {
		return nil, err
	}
	text := "holds an authority until " + day(a.current.cert.NotAfter)
	if a.next != nil {
		text += ", and the next one until " + day(a.next.cert.NotAfter)
	}
	k.say(SecretAuthority, text)
	return put, nil
}

// serving makes or renews one serving certificate. One that another authority signed is somebody else's.
func (k *Keeper) serving(ctx context.Context, s Serving, a *authority) error {
	have, err := k.get(ctx, s.Secret)
	if err != nil {
		return err
	}
	if have == nil {
		return k.first(ctx, s, a)
	}
	p, err := parsePair(have.Data[corev1.TLSCertKey], have.Data[corev1.TLSPrivateKeyKey])
	switch {
	case err != nil:
		return fmt.Errorf("Secret %s %w: delete it and run the bootstrap again", s.Secret, err) //nolint:staticcheck // Secret is the kind
	case p.cert.Issuer.CommonName != authorityName(k.Namespace):
		return nil
	case servingDue(k.Now(), p.cert, a.current.cert):
		return k.issue(ctx, have, p.cert.Subject.CommonName, p.cert.DNSNames, a)
	case !bytes.Equal(have.Data[KeyBundle], bundle(a.trusted)):
		return k.putServing(ctx, have, p, a)
	}
	return nil
}

func (k *Keeper) first(ctx context.Context, s Serving, a *authority) error {
	if !k.Make {
		return nil
	}
	fresh := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: s.Secret}, Type: corev1.SecretTypeTLS}
	return k.issue(ctx, fresh, s.Service, hosts(s.Service, k.Namespace), a)
}

func (k *Keeper) issue(ctx context.Context, have *corev1.Secret, name string, hosts []string, a *authority) error {
	t := template(k.Now(), name, servingLife)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	t.DNSNames = hosts
	p, err := issue(t, &a.current)
	if err != nil {
		return err
	}
	return k.putServing(ctx, have, p, a)
}

func (k *Keeper) putServing(ctx context.Context, have *corev1.Secret, p pair, a *authority) error {
	cert, key, err := p.pem()
	if err != nil {
		return err
	}
	_, err = k.put(ctx, have, map[string][]byte{corev1.TLSCertKey: cert, corev1.TLSPrivateKeyKey: key, KeyBundle: bundle(a.trusted)})
	if err == nil {
		k.say(have.Name, fmt.Sprintf("holds a certificate until %s; authorities to trust: %d", day(p.cert.NotAfter), len(a.trusted)))
	}
	return err
}

// hosts are the names by which a Service is reached.
func hosts(service, namespace string) []string {
	host := service + "." + namespace
	return []string{service, host, host + ".svc", host + ".svc.cluster.local", "localhost"}
}

func (k *Keeper) get(ctx context.Context, name string) (*corev1.Secret, error) {
	s, err := k.Secrets.Get(ctx, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read Secret %s: %w", name, err)
	}
	return s, nil
}

// put writes a Secret, new or over the one that was read. Errors hold nothing of its content.
func (k *Keeper) put(ctx context.Context, have *corev1.Secret, data map[string][]byte) (*corev1.Secret, error) {
	s := have.DeepCopy() // labels and annotations of others stay
	s.Data = data
	var err error
	if have.ResourceVersion == "" {
		s, err = k.Secrets.Create(ctx, s, metav1.CreateOptions{})
	} else {
		s, err = k.Secrets.Update(ctx, s, metav1.UpdateOptions{})
	}
	if err != nil {
		return nil, fmt.Errorf("write Secret %s: %s", have.Name, apierrors.ReasonForError(err))
	}
	return s, nil
}

func (k *Keeper) say(secret, text string) { k.Say("Secret " + secret + " " + text) }

func day(t time.Time) string { return t.UTC().Format(time.DateOnly) }
