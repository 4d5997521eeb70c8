package pki

import (
	"context"
	"crypto/x509"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Renew makes a certificate of the same names and the same life with a new key; the old one stays valid (contract
// OC-15). Scope pki:issue, and permission issue on the role it was issued by, which must still allow its names. Errors:
// certificate_not_found, certificate_revoked, and those of Issue.
func (s *Service) Renew(ctx context.Context, who guard.Caller, id string) (vaultapi.IssuedCertificate, error) {
	a := guard.Access{Action: ActionRenew, Scope: ScopeIssue}
	if refPattern.MatchString(id) {
		a.Target = id
	}
	refuse := func(err error) (vaultapi.IssuedCertificate, error) {
		return refused[vaultapi.IssuedCertificate](ctx, s, who, a, err)
	}
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return refuse(err)
	}
	r, err := s.visible(ctx, who, id)
	if err != nil {
		return refuse(err)
	}
	o := order{access: issuing(ActionRenew, r.Role), role: r.Role, replaces: r.ID}
	o.access.Target = r.ID
	return s.take(ctx, who, o, "", func(o *order) error { return o.again(r) })
}

// again orders a certificate as it is.
func (o *order) again(r record) error {
	if r.Revoked != nil {
		return fault.Conflict(fault.CodeCertificateRevoked, "certificate %s is revoked: issue another", r.ID).With("certificate_id", r.ID)
	}
	old, err := x509.ParseCertificate(r.DER)
	if err != nil {
		return fault.Internal(err, "certificate %s", r.ID)
	}
	w := certs.Wanted{CommonName: old.Subject.CommonName, DNS: old.DNSNames, Emails: old.EmailAddresses}
	for _, ip := range old.IPAddresses {
		w.IPs = append(w.IPs, ip.String())
	}
	for _, u := range old.URIs {
		w.URIs = append(w.URIs, u.String())
	}
	o.wanted, o.ttl = []certs.Wanted{w}, max(old.NotAfter.Sub(old.NotBefore)-certs.Backdate, shortestTTL)
	return nil
}
