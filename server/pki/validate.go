package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Validate judges a certificate that somebody showed: its chain to a root of the tenant, its dates, its names, and by
// this vault's own record its revocation. Any token. A bad certificate is an answer with valid false (contract OC-16).
// Error: validation_error where something is not PEM.
func (s *Service) Validate(ctx context.Context, who guard.Caller, w vaultapi.CertificateValidate) (vaultapi.CertificateValidation, error) {
	return guard.Do(ctx, s.guard, who, guard.Access{Action: ActionValidate}, func(c *guard.Call) (vaultapi.CertificateValidation, error) {
		leaf, between, err := shown(w)
		if err != nil {
			return vaultapi.CertificateValidation{}, judged(err)
		}
		known, err := s.all(ctx, who.Tenant)
		if err != nil {
			return vaultapi.CertificateValidation{}, err
		}
		v := verdict(leaf, between, known, c.Now())
		if w.CheckRevocation {
			if err := s.checkRevocation(ctx, who.Tenant, leaf, between, known, &v); err != nil {
				return vaultapi.CertificateValidation{}, err
			}
		}
		v.Valid = len(v.Errors) == 0
		return v, nil
	})
}

// shown parses what was sent.
func shown(w vaultapi.CertificateValidate) (leaf *x509.Certificate, between []*x509.Certificate, err error) {
	first, err := certs.ParseCertificates("certificate_pem", w.CertificatePEM)
	if err != nil {
		return nil, nil, err
	}
	if w.ChainPEM != "" {
		if between, err = certs.ParseCertificates("chain_pem", w.ChainPEM); err != nil {
			return nil, nil, err
		}
	}
	return first[0], append(first[1:], between...), nil
}

// all are the tenant's authorities.
func (s *Service) all(ctx context.Context, tenant string) ([]authority, error) {
	rows, err := s.db.Query(ctx, authorityList, tenant, "", endOfTime)
	if err != nil {
		return nil, unread(fmt.Errorf("list authorities: %w", err))
	}
	found, err := collect(rows, scanAuthority)
	return found, unread(err)
}

// verdict judges chain, dates and names.
func verdict(leaf *x509.Certificate, between []*x509.Certificate, known []authority, now time.Time) vaultapi.CertificateValidation {
	v := vaultapi.CertificateValidation{
		Errors: []string{}, Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), SerialNumber: certs.FormatSerial(leaf.SerialNumber),
		NotBefore: vaultapi.At(leaf.NotBefore), NotAfter: vaultapi.At(leaf.NotAfter),
	}
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range between {
		middle.AddCert(c)
	}
	for _, a := range known {
		if a.Type == typeRoot {
			roots.AddCert(a.Cert)
			continue
		}
		middle.AddCert(a.Cert)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err != nil {
		v.Errors = append(v.Errors, reasonFor(err, leaf, now))
		return v
	}
	for _, chain := range chains {
		name := ""
		for i := 0; i < len(chain)-1 && name == ""; i++ {
			name = certs.CheckConstraints(chain[i], chain[i+1:])
		}
		if name == "" {
			v.TrustedBy = idOf(chain[len(chain)-1], known)
			return v
		}
	}
	v.Errors = append(v.Errors, "a name is outside of the name constraints of an authority above it")
	return v
}

// reasonFor says what is wrong with a chain in words of our own.
func reasonFor(err error, leaf *x509.Certificate, now time.Time) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case now.Before(leaf.NotBefore):
		return "the certificate is not valid yet"
	case now.After(leaf.NotAfter):
		return "the certificate has expired"
	case errors.As(err, &unknown):
		return "no chain leads to a root of this vault"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "an authority above the certificate has expired or is not valid yet"
	case errors.As(err, &invalid) && invalid.Reason == x509.CANotAuthorizedForThisName:
		return "a name is outside of the name constraints of an authority above it"
	}
	return "the chain breaks a rule of RFC 5280"
}

func idOf(root *x509.Certificate, known []authority) *string {
	for _, a := range known {
		if a.Cert.Equal(root) {
			return &a.ID
		}
	}
	return nil
}

// checkRevocation looks the certificate up by its serial and its own bytes, and the authorities above it.
func (s *Service) checkRevocation(ctx context.Context, tenant string, leaf *x509.Certificate, between []*x509.Certificate, known []authority,
	v *vaultapi.CertificateValidation,
) error {
	r, err := s.certificate(ctx, tenant, certificateSerial, certs.FormatSerial(leaf.SerialNumber))
	switch {
	case fault.Is(err, fault.CodeCertificateNotFound):
	case err != nil:
		return err
	case string(r.DER) == string(leaf.Raw):
		v.RevocationChecked = true
		v.Revoked = r.Revoked != nil
	}
	for _, a := range known {
		if a.Cert.Equal(leaf) {
			v.RevocationChecked = true
		}
		if a.Revoked != nil && (a.Cert.Equal(leaf) || leaf.CheckSignatureFrom(a.Cert) == nil || contains(between, a.Cert)) {
			v.Revoked = true
		}
	}
	if v.Revoked {
		v.Errors = append(v.Errors, "the certificate, or an authority above it, is revoked")
	}
	return nil
}

func contains(all []*x509.Certificate, c *x509.Certificate) bool {
	for _, other := range all {
		if other.Equal(c) {
			return true
		}
	}
	return false
}
