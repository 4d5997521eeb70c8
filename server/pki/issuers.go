package pki

import (
	"context"
	"crypto"
	"crypto/x509"

	"github.com/scailabs/scaivault/server/pki/revocation"
)

// Signers are the certificates of an authority that lists and answers of OCSP are signed for, by its id: those of its
// slots that are not retired, the active one first. Error: ca_not_found.
func (s *Service) Signers(ctx context.Context, tenant, id string) ([]revocation.Signer, error) {
	a, err := s.authority(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	all := []revocation.Signer{s.as(tenant, a)}
	others, err := s.slotsNow(ctx, tenant, a)
	if err != nil {
		return nil, err
	}
	for _, v := range others {
		if v.State == slotPrepared || v.State == slotRetiring {
			all = append(all, s.as(tenant, a.with(v)))
		}
	}
	return all, nil
}

// as is what an authority signs with.
func (s *Service) as(tenant string, a authority) revocation.Signer {
	return revocation.Signer{Cert: a.Cert, Key: func(ctx context.Context) (crypto.Signer, error) { return s.signer(ctx, tenant, a) }}
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
