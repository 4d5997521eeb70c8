package pki

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Validate judges a certificate that somebody showed: its dates, its chain to a root or a trust anchor of the tenant, its
// names, and by this vault's own record its revocation. Any token: the answer says nothing of the tenant but who trusts
// what was shown. A bad certificate is an answer with valid false (contract OC-16). Error: validation_error where
// something is not PEM.
func (s *Service) Validate(ctx context.Context, who guard.Caller, w vaultapi.CertificateValidate) (vaultapi.CertificateValidation, error) {
	return guard.Do(ctx, s.guard, who, guard.Access{Action: ActionValidate}, func(c *guard.Call) (vaultapi.CertificateValidation, error) {
		leaf, between, err := shown(w)
		if err != nil {
			return vaultapi.CertificateValidation{}, judged(err)
		}
		t, err := s.trusted(ctx, who.Tenant)
		if err != nil {
			return vaultapi.CertificateValidation{}, err
		}
		v := vaultapi.CertificateValidation{
			Errors: []string{}, Subject: leaf.Subject.String(), Issuer: leaf.Issuer.String(), SerialNumber: certs.FormatSerial(leaf.SerialNumber),
			NotBefore: vaultapi.At(leaf.NotBefore), NotAfter: vaultapi.At(leaf.NotAfter),
		}
		t.judge(leaf, between, c.Now(), w.CheckRevocation, &v)
		if w.CheckRevocation {
			if err := s.look(ctx, who.Tenant, leaf, t, &v); err != nil {
				return vaultapi.CertificateValidation{}, err
			}
		}
		if v.Revoked {
			v.Errors = append(v.Errors, "the certificate, or an authority above it, is revoked")
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

// trust is what a tenant trusts, and what it knows on the way there.
type trust struct {
	known   []authority // and once more for every other slot that is live
	above   [][]*x509.Certificate
	anchors []anchor
}

// scanLive reads an authority as one of its slots is.
func scanLive(row scanner) (a authority, err error) {
	if err = row.Scan(&a.ID, &a.Name, &a.Type, &a.DER, &a.Revoked); err != nil {
		return authority{}, err
	}
	if a.Cert, err = x509.ParseCertificate(a.DER); err != nil {
		return authority{}, fmt.Errorf("certificate of authority %s: %w", a.ID, err)
	}
	return a, nil
}

func scanAbove(row scanner) ([]*x509.Certificate, error) {
	var der []byte
	if err := row.Scan(&der); err != nil {
		return nil, err
	}
	return x509.ParseCertificates(der)
}

func (s *Service) trusted(ctx context.Context, tenant string) (t trust, err error) {
	rows, err := s.db.Query(ctx, authorityList, tenant, "", endOfTime)
	if err != nil {
		return t, unread(fmt.Errorf("list authorities: %w", err))
	}
	if t.known, err = collect(rows, scanAuthority); err != nil {
		return t, unread(err)
	}
	if rows, err = s.db.Query(ctx, slotsLive, tenant); err != nil {
		return t, unread(fmt.Errorf("list slots: %w", err))
	}
	live, err := collect(rows, scanLive)
	if err != nil {
		return t, unread(err)
	}
	t.known = append(t.known, live...)
	if rows, err = s.db.Query(ctx, aboveAll, tenant); err != nil {
		return t, unread(fmt.Errorf("list authorities outside: %w", err))
	}
	if t.above, err = collect(rows, scanAbove); err != nil {
		return t, unread(err)
	}
	t.anchors, err = s.anchors(ctx, tenant, "", maxAnchors)
	return t, err
}

// judge judges dates, chain and names. Of several chains it takes one without a revoked authority, where that counts.
func (t trust) judge(leaf *x509.Certificate, between []*x509.Certificate, now time.Time, revocation bool, v *vaultapi.CertificateValidation) {
	at := now
	switch {
	case now.Before(leaf.NotBefore):
		v.Errors, at = append(v.Errors, "the certificate is not valid yet"), leaf.NotBefore
	case now.After(leaf.NotAfter):
		v.Errors, at = append(v.Errors, "the certificate has expired"), leaf.NotAfter
	}
	chains, err := leaf.Verify(t.options(between, at))
	if err != nil {
		v.Errors = append(v.Errors, reasonFor(err))
		return
	}
	chains = slices.DeleteFunc(chains, outside)
	if len(chains) == 0 {
		v.Errors = append(v.Errors, outsideNames)
		return
	}
	best := slices.IndexFunc(chains, func(chain []*x509.Certificate) bool { return !t.revoked(chain) })
	v.Revoked = revocation && best < 0
	chain := chains[max(best, 0)]
	v.TrustedBy = t.nameOf(chain[len(chain)-1])
}

func (t trust) options(between []*x509.Certificate, at time.Time) x509.VerifyOptions {
	roots, middle := x509.NewCertPool(), x509.NewCertPool()
	for _, c := range append(slices.Concat(t.above...), between...) {
		middle.AddCert(c)
	}
	for _, a := range t.known {
		if a.Type == typeRoot {
			roots.AddCert(a.Cert)
			continue
		}
		middle.AddCert(a.Cert)
	}
	for _, a := range t.anchors {
		roots.AddCert(a.Cert)
	}
	return x509.VerifyOptions{Roots: roots, Intermediates: middle, CurrentTime: at, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}}
}

// outside tells whether a certificate of a chain has a name that one above it does not allow.
func outside(chain []*x509.Certificate) bool {
	for i := range chain[:len(chain)-1] {
		if certs.CheckConstraints(chain[i], chain[i+1:]) != "" {
			return true
		}
	}
	return false
}

const outsideNames = "a name is outside of the name constraints of an authority above it"

// reasonFor says what is wrong with a chain in words of our own.
func reasonFor(err error) string {
	var invalid x509.CertificateInvalidError
	var unknown x509.UnknownAuthorityError
	switch {
	case errors.As(err, &unknown):
		return "no chain leads to a root or a trust anchor of this vault"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "an authority above the certificate has expired or is not valid yet"
	case errors.As(err, &invalid) && invalid.Reason == x509.CANotAuthorizedForThisName:
		return outsideNames
	}
	return "the chain breaks a rule of RFC 5280"
}

// nameOf is the id of a root or of an anchor.
func (t trust) nameOf(end *x509.Certificate) *string {
	for _, a := range t.known {
		if a.Cert.Equal(end) {
			return &a.ID
		}
	}
	for _, a := range t.anchors {
		if a.Cert.Equal(end) {
			return &a.ID
		}
	}
	return nil
}

// revoked tells whether an authority of the vault in a chain is revoked.
func (t trust) revoked(chain []*x509.Certificate) bool {
	return slices.ContainsFunc(t.known, func(a authority) bool {
		return a.Revoked != nil && slices.ContainsFunc(chain, a.Cert.Equal)
	})
}

// look looks the certificate up in the vault's record. What has the serial of one on record but is another is not known.
func (s *Service) look(ctx context.Context, tenant string, leaf *x509.Certificate, t trust, v *vaultapi.CertificateValidation) error {
	if slices.ContainsFunc(t.known, func(a authority) bool { return a.Cert.Equal(leaf) }) {
		v.RevocationChecked = true
		v.Revoked = v.Revoked || t.revoked([]*x509.Certificate{leaf})
		return nil
	}
	r, err := s.certificate(ctx, tenant, certificateSerial, certs.FormatSerial(leaf.SerialNumber))
	switch {
	case fault.Is(err, fault.CodeCertificateNotFound):
	case err != nil:
		return err
	case string(r.DER) == string(leaf.Raw):
		v.RevocationChecked = true
		v.Revoked = v.Revoked || r.Revoked != nil
	}
	return nil
}
