package pki

import (
	"context"
	"crypto"
	"crypto/x509"

	"github.com/scailabs/scaivault/server/pki/revocation"
)

// Signers are the certificates of an authority that lists and answers of OCSP are signed for, by its id. Error:
// ca_not_found.
func (s *Service) Signers(ctx context.Context, tenant, id string) ([]revocation.Signer, error) {
	a, err := s.authority(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	open := func(ctx context.Context) (crypto.Signer, error) { return s.signer(ctx, tenant, a) }
	return []revocation.Signer{{Cert: a.Cert, Key: open}}, nil
}

// address puts the addresses of the issuer's list, OCSP and certificate into a draft.
func (s *Service) address(draft *x509.Certificate, by authority) {
	at := s.points(by.ID, by.Cert)
	for address, field := range map[string]*[]string{
		at.CRL: &draft.CRLDistributionPoints, at.OCSP: &draft.OCSPServer, at.Issuer: &draft.IssuingCertificateURL,
	} {
		if address != "" {
			*field = []string{address}
		}
	}
}
