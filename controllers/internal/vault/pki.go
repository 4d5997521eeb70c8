package vault

import (
	"context"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Sign has a certificate request signed by a role, if the identity may issue by it.
func (s *Session) Sign(ctx context.Context, role string, w vaultapi.CertificateSign) (*vaultapi.IssuedCertificate, error) {
	got, err := s.pki.Sign(ctx, role, w)
	return got, s.noted(err)
}

// Role reads a role of certificates.
func (s *Session) Role(ctx context.Context, name string) (*vaultapi.PKIRole, error) {
	got, err := s.pki.Role(ctx, name)
	return got, s.noted(err)
}

// Authority reads a certificate authority.
func (s *Session) Authority(ctx context.Context, id string) (*vaultapi.Authority, error) {
	got, err := s.pki.Authority(ctx, id)
	return got, s.noted(err)
}

// AuthorityCertificate reads the certificate of an authority and those above it.
func (s *Session) AuthorityCertificate(ctx context.Context, id string) (*vaultapi.AuthorityCertificate, error) {
	got, err := s.pki.AuthorityCertificate(ctx, id)
	return got, s.noted(err)
}
