package pki

import (
	"context"
	"crypto/x509"
	"database/sql"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// maxDepth is how many authorities may stand above one another.
const maxDepth = 8

// Authority returns an authority by id or name. Scope pki:admin or pki:issue. Error: ca_not_found.
func (s *Service) Authority(ctx context.Context, who guard.Caller, ref string) (vaultapi.Authority, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionAuthorityRead, ref), func(c *guard.Call) (vaultapi.Authority, error) {
		a, err := s.authority(ctx, who.Tenant, ref)
		if err != nil {
			return vaultapi.Authority{}, err
		}
		return s.show(ctx, who.Tenant, a, c.Now())
	})
}

// AuthorityCertificate returns the certificate of an authority and those above it. Scope pki:admin or pki:issue.
// Error: ca_not_found.
func (s *Service) AuthorityCertificate(ctx context.Context, who guard.Caller, ref string) (vaultapi.AuthorityCertificate, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionAuthorityRead, ref), func(*guard.Call) (vaultapi.AuthorityCertificate, error) {
		a, err := s.authority(ctx, who.Tenant, ref)
		if err != nil {
			return vaultapi.AuthorityCertificate{}, err
		}
		chain, err := s.chain(ctx, who.Tenant, a)
		if err != nil {
			return vaultapi.AuthorityCertificate{}, err
		}
		return vaultapi.AuthorityCertificate{
			CertificatePEM: certs.EncodeCertificates(a.DER), CAChainPEM: certs.EncodeCertificates(raw(chain[1:])...),
		}, nil
	})
}

// Authorities returns one page of the tenant's authorities, by name. Scope pki:admin or pki:issue. Errors:
// invalid_request, invalid_cursor.
func (s *Service) Authorities(ctx context.Context, who guard.Caller, limit int, cursor string) (vaultapi.AuthorityList, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionAuthorityList, ""), func(c *guard.Call) (vaultapi.AuthorityList, error) {
		byName := listing[authority]{"authorities", authorityList, scanAuthority, func(a authority) string { return a.Name }}
		p, err := pageOf(ctx, s, byName, asked{who.Tenant, limit, cursor})
		if err != nil {
			return vaultapi.AuthorityList{}, err
		}
		l := vaultapi.AuthorityList{Authorities: []vaultapi.Authority{}, HasMore: p.more, Cursor: p.cursor}
		for _, a := range p.items {
			shown, err := s.show(ctx, who.Tenant, a, c.Now())
			if err != nil {
				return vaultapi.AuthorityList{}, err
			}
			l.Authorities = append(l.Authorities, shown)
		}
		l.Data = l.Authorities
		return l, nil
	})
}

// authority finds an authority outside of a transaction.
func (s *Service) authority(ctx context.Context, tenant, ref string) (authority, error) {
	a, err := findAuthority(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, tenant, ref, "")
	return a, unread(err)
}

// chain is an authority and those above it, up to the root, each with the certificate whose key signed the one before.
func (s *Service) chain(ctx context.Context, tenant string, a authority) ([]authority, error) {
	all := []authority{a}
	for a.Parent != "" && len(all) <= maxDepth {
		above, err := s.authority(ctx, tenant, a.Parent)
		if err != nil {
			return nil, err
		}
		if above, err = s.asIssuerOf(ctx, tenant, above, a.Cert); err != nil {
			return nil, err
		}
		all, a = append(all, above), above
	}
	if a.external() {
		above, err := s.above(ctx, tenant, a.UID)
		return append(all, above...), err
	}
	return all, nil
}

func raw(all []authority) [][]byte {
	var der [][]byte
	for _, a := range all {
		der = append(der, a.DER)
	}
	return der
}

// certificates are the parsed certificates of authorities.
func certificates(all []authority) []*x509.Certificate {
	var parsed []*x509.Certificate
	for _, a := range all {
		parsed = append(parsed, a.Cert)
	}
	return parsed
}

// show is an authority as it is answered, with the number of its certificates.
func (s *Service) show(ctx context.Context, tenant string, a authority, now time.Time) (vaultapi.Authority, error) {
	w := a.wire(now)
	err := s.db.QueryRow(ctx, authorityIssued, tenant, a.ID).Scan(&w.CertificatesIssued)
	if err != nil {
		return w, unread(fmt.Errorf("count certificates of %s: %w", a.ID, err))
	}
	return w, nil
}

func (a authority) wire(now time.Time) vaultapi.Authority {
	spec := certs.SpecOf(a.Cert.PublicKey)
	w := vaultapi.Authority{
		ID: a.ID, Name: a.Name, CommonName: a.Cert.Subject.CommonName, CAType: a.Type, KeyType: spec.Type, KeySize: spec.Bits,
		SerialNumber: a.Serial, ValidFrom: vaultapi.At(a.Cert.NotBefore), ValidUntil: vaultapi.At(a.Cert.NotAfter),
		IsActive: a.usable(now) == nil, RevokedAt: vaultapi.MaybeAt(a.Revoked), CreatedAt: vaultapi.AtMicros(a.Created),
		PermittedDNSDomains: append([]string{}, a.Cert.PermittedDNSDomains...), ExcludedDNSDomains: append([]string{}, a.Cert.ExcludedDNSDomains...),
		PermittedIPRanges: ranges(a.Cert.PermittedIPRanges), ExcludedIPRanges: ranges(a.Cert.ExcludedIPRanges),
	}
	if a.Parent != "" {
		w.ParentCAID = &a.Parent
	}
	if a.Revoked != nil {
		w.RevocationReason = &a.Reason
	}
	if n := a.Cert.MaxPathLen; n > 0 || n == 0 && a.Cert.MaxPathLenZero {
		w.MaxPathLength = &n
	}
	return w
}
