package certstatus

import (
	"crypto"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"time"
)

// List is a certificate revocation list that is to be signed.
type List struct {
	Issuer                 *x509.Certificate // needs a subject key id and key usage cRLSign
	Number                 int64             // grows with every list of an authority
	ThisUpdate, NextUpdate time.Time
	Revoked                []x509.RevocationListEntry
}

// Sign gives the list as DER. An entry with reason 0 (unspecified) gets no reason, as RFC 5280, 5.3.1 wants.
func (l List) Sign(random io.Reader, key crypto.Signer) ([]byte, error) {
	der, err := x509.CreateRevocationList(random, &x509.RevocationList{
		Number: big.NewInt(l.Number), ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, RevokedCertificateEntries: l.Revoked,
	}, l.Issuer, key)
	if err != nil {
		return nil, fmt.Errorf("sign a revocation list: %w", err)
	}
	return der, nil
}

// EncodeList writes a list as PEM.
func EncodeList(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "X509 CRL", Bytes: der})
}
