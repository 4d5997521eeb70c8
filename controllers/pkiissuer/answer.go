package pkiissuer

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"fmt"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// certificate is what a request gets.
type certificate struct {
	chain  []byte // PEM: the certificate, and the authorities between it and the root
	ca     []byte // PEM: the root, or the highest authority there is
	serial string
}

// fits takes an answer of the vault if it is for the key of the request, alive, and of one chain. Clients that got
// another would ask again at once, and for ever (mistake 62).
func (a asked) fits(got *vaultapi.IssuedCertificate, now time.Time) (*certificate, error) {
	request, err := certs.ParseRequest("spec.request", string(a.csr))
	if err != nil {
		return nil, refuse(ReasonRequestRefused, err)
	}
	chain, err := certs.ParseCertificates("certificate", got.Certificate+got.CAChainPEM)
	if err != nil {
		return nil, refuse(ReasonAnswerUnfit, fmt.Errorf("what the vault answers is no certificate: %w", err))
	}
	leaf := chain[0]
	switch key, ok := request.PublicKey.(interface{ Equal(crypto.PublicKey) bool }); {
	case !ok || !key.Equal(leaf.PublicKey):
		return nil, refuse(ReasonAnswerUnfit, fmt.Errorf("certificate %s of the vault is for another key than the request's", got.SerialNumber))
	case !leaf.NotAfter.After(now):
		return nil, refuse(ReasonAnswerUnfit, fmt.Errorf("certificate %s of the vault ended at %s already; see whether the clocks agree", got.SerialNumber, leaf.NotAfter.Format(time.RFC3339)))
	}
	return split(chain, got.SerialNumber)
}

// split parts what a server presents from the root, which its clients have.
func split(chain []*x509.Certificate, serial string) (*certificate, error) {
	for i, c := range chain[:len(chain)-1] {
		if err := c.CheckSignatureFrom(chain[i+1]); err != nil {
			return nil, refuse(ReasonAnswerUnfit, fmt.Errorf("certificate %s came with authorities of which one did not sign the one before it", serial))
		}
	}
	top := chain[len(chain)-1]
	presented := chain
	if selfSigned(top) && len(chain) > 1 {
		presented = chain[:len(chain)-1]
	}
	out := &certificate{ca: []byte(certs.EncodeCertificates(top.Raw)), serial: serial}
	for _, c := range presented {
		out.chain = append(out.chain, certs.EncodeCertificates(c.Raw)...)
	}
	return out, nil
}

func selfSigned(c *x509.Certificate) bool {
	return bytes.Equal(c.RawSubject, c.RawIssuer) && c.CheckSignatureFrom(c) == nil
}

// answers keeps what was signed until it stands in the status of the request, so that a status that cannot be written
// does not make another certificate at each try.
type answers struct{ byUID sync.Map }

// once gives what was signed for a request before, or has it signed.
func (s *answers) once(uid types.UID, sign func() (*certificate, error)) (*certificate, error) {
	if kept, ok := s.byUID.Load(uid); ok {
		return kept.(*certificate), nil
	}
	got, err := sign()
	if err == nil {
		s.byUID.Store(uid, got)
	}
	return got, err
}

// forget ends that: the certificate was written, or nobody wants it any more.
func (s *answers) forget(uid types.UID) { s.byUID.Delete(uid) }
