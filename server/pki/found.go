package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Kinds of authorities (contract section 8.1).
const (
	typeRoot         = "root"
	typeIntermediate = "intermediate"
)

const (
	day     = 24 * time.Hour
	maxDays = 100 * 365 // of an authority's life
)

// plan is an authority that is to be made.
type plan struct {
	id, uid, name string
	parent        []authority // from its issuer to the root; empty: it is a root
	spec          certs.KeySpec
	draft         *x509.Certificate
	key           crypto.Signer
	sealed        sealedKey
	der           []byte
}

// CreateAuthority makes a root, or an intermediate below an authority of the tenant. Scope pki:admin. Errors:
// validation_error, ca_not_found (of the parent), ca_inactive, ca_exists.
func (s *Service) CreateAuthority(ctx context.Context, who guard.Caller, w vaultapi.AuthorityWrite) (vaultapi.Authority, error) {
	access := admin(ActionAuthorityCreate, w.Name)
	p, err := s.prepare(ctx, who, access, w)
	if err != nil {
		return refused[vaultapi.Authority](ctx, s, who, access, err)
	}
	return guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (vaultapi.Authority, error) {
		a, err := s.establish(c, p)
		if err != nil {
			return vaultapi.Authority{}, err
		}
		return a.wire(c.Now()), nil
	})
}

// prepare does what takes time before the transaction: keys, the look at the draft, signing.
func (s *Service) prepare(ctx context.Context, who guard.Caller, access guard.Access, w vaultapi.AuthorityWrite) (p plan, err error) {
	if _, err := s.guard.Check(ctx, who, access, 0); err != nil {
		return p, err
	}
	if p, err = s.planned(ctx, who.Tenant, w); err != nil {
		return p, err
	}
	return p, s.complete(ctx, who.Tenant, &p)
}

// complete makes the key, seals it and signs its certificate.
func (s *Service) complete(ctx context.Context, tenant string, p *plan) (err error) {
	if p.key, err = p.spec.Generate(s.random); err != nil {
		return fault.Internal(err, "key of authority %s", p.name)
	}
	if p.sealed, err = s.sealKey(ctx, keyReference(tenant, p.id, p.uid), p.key); err != nil {
		return err
	}
	p.der, err = s.signAuthority(ctx, tenant, *p)
	return err
}

// planned checks the body and makes the draft of it.
func (s *Service) planned(ctx context.Context, tenant string, w vaultapi.AuthorityWrite) (plan, error) {
	p := plan{id: newID("ca_"), uid: newID(""), name: w.Name}
	if err := checkAuthority(&w, &p); err != nil {
		return p, err
	}
	if w.CAType == typeIntermediate {
		parent, err := s.authority(ctx, tenant, w.ParentCAID)
		if err != nil {
			return p, err
		}
		if p.parent, err = s.chain(ctx, tenant, parent); err != nil {
			return p, err
		}
		for _, above := range p.parent { // who builds a chain would take it for the other one's own (RFC 5280 section 3.2)
			if above.Cert.Subject.CommonName == w.CommonName {
				return p, invalid("common_name", "must not be that of an authority above it: "+above.Name)
			}
		}
	}
	serial, err := certs.NewSerial(s.random)
	if err != nil {
		return p, fault.Internal(err, "authority %s", p.name)
	}
	p.draft = &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: w.CommonName}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, MaxPathLen: -1,
	}
	if err := p.constrain(w); err != nil {
		return p, err
	}
	return p, p.last(w, s.guard.Now())
}

// checkAuthority checks what needs no look at the parent: every mistake in details.fields.
func checkAuthority(w *vaultapi.AuthorityWrite, p *plan) error {
	fields := map[string]string{}
	if !refPattern.MatchString(w.Name) || w.Name == "." || w.Name == ".." || strings.HasPrefix(w.Name, "ca_") {
		fields["name"] = "must be 1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not begin with ca_"
	}
	if rule := certs.CheckCommonName(w.CommonName); rule != "" {
		fields["common_name"] = rule
	}
	checkPlace(w, fields)
	if w.KeyType == "" {
		w.KeyType = certs.RSA
	}
	var known bool
	if p.spec, known = (certs.KeySpec{Type: w.KeyType, Bits: w.KeySize}).Known(); !known {
		fields["key_type"] = "must be rsa (2048, 3072, 4096 bits), ec (256, 384) or ed25519"
	}
	if w.ValidityDays < 0 || w.ValidityDays > maxDays {
		fields["validity_days"] = fmt.Sprintf("must be 1 to %d", maxDays)
	}
	if len(fields) > 0 {
		return fault.Validation(fields)
	}
	return nil
}

func checkPlace(w *vaultapi.AuthorityWrite, fields map[string]string) {
	switch {
	case w.CAType != typeRoot && w.CAType != typeIntermediate:
		fields["ca_type"] = "must be root or intermediate"
	case w.CAType == typeRoot && w.ParentCAID != "":
		fields["parent_ca_id"] = "a root has none"
	case w.CAType == typeIntermediate && w.ParentCAID == "":
		fields["parent_ca_id"] = "an intermediate needs the id or name of the authority above it"
	}
}

func ranges(all []*net.IPNet) []string {
	list := []string{}
	for _, n := range all {
		list = append(list, n.String())
	}
	return list
}

// last sets how long the authority lives: never longer than the one above it.
func (p *plan) last(w vaultapi.AuthorityWrite, now time.Time) error {
	days := map[string]int{typeRoot: 3650, typeIntermediate: 1825}[w.CAType]
	if w.ValidityDays > 0 {
		days = w.ValidityDays
	}
	life := time.Duration(days) * day
	begin, end := now.Add(-certs.Backdate).Truncate(time.Second), now.Add(life)
	if len(p.parent) > 0 {
		if err := p.parent[0].usable(now); err != nil {
			return err
		}
		begin, end = p.parent[0].Cert.NotBefore, p.parent[0].Cert.NotAfter
	}
	p.draft.NotBefore, p.draft.NotAfter, _ = certs.Window(now, life, life, begin, end)
	return nil
}

// signAuthority looks at the draft and signs it: by itself, or by the authority above.
func (s *Service) signAuthority(ctx context.Context, tenant string, p plan) ([]byte, error) {
	if len(p.parent) == 0 {
		if err := s.linter.check(p.draft, p.draft, p.key.Public(), p.spec); err != nil {
			return nil, err
		}
		der, err := x509.CreateCertificate(s.random, p.draft, p.draft, p.key.Public(), p.key)
		if err != nil {
			return nil, fault.Internal(err, "sign authority %s", p.name)
		}
		return der, nil
	}
	return s.sign(ctx, tenant, p.parent[0], p.draft, p.key.Public())
}

// sign looks at a draft and has an authority sign it.
func (s *Service) sign(ctx context.Context, tenant string, by authority, draft *x509.Certificate, public crypto.PublicKey) ([]byte, error) {
	s.address(draft, by)
	if err := s.linter.check(draft, by.Cert, public, certs.SpecOf(by.Cert.PublicKey)); err != nil {
		return nil, err
	}
	key, err := s.signer(ctx, tenant, by)
	if err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(s.random, draft, by.Cert, public, key)
	if err != nil {
		return nil, fault.Internal(err, "sign by authority %s", by.Name)
	}
	return der, nil
}

// establish stores the authority, if the one above it may still sign.
func (s *Service) establish(c *guard.Call, p plan) (authority, error) {
	a := authority{ID: p.id, Name: p.name, Type: typeRoot, DER: p.der, UID: p.uid, Created: c.Now().UnixMicro()}
	if len(p.parent) > 0 {
		a.Type, a.Parent = typeIntermediate, p.parent[0].ID
	}
	err := s.parentUnchanged(c, p)
	if err != nil {
		return a, err
	}
	if a.Cert, err = x509.ParseCertificate(a.DER); err != nil {
		return a, fault.Internal(err, "authority %s", a.Name)
	}
	a.Serial, a.NotAfter = certs.FormatSerial(a.Cert.SerialNumber), a.Cert.NotAfter.UnixMicro()
	a.Sealed.Value = p.sealed.value
	if a.Sealed.KeyVersion, a.Sealed.Wrapped, err = s.keys.Wrap(c.Tx, p.sealed.ref, p.sealed.key); err != nil {
		return a, sealing(err, a.ID)
	}
	c.Note("ca_id", a.ID)
	c.Note("serial_number", a.Serial)
	return a, insertAuthority(c, a)
}

// parentUnchanged holds the authority above until the transaction ends, and refuses if it signs no more, or with another
// key than that of the plan.
func (s *Service) parentUnchanged(c *guard.Call, p plan) error {
	if len(p.parent) == 0 {
		return nil
	}
	return s.unrotated(c, p.parent[0])
}

// refused records a call that was found impossible before its transaction. Where the caller may not make the call at
// all, he learns only that.
func refused[T any](ctx context.Context, s *Service, who guard.Caller, a guard.Access, err error) (T, error) {
	return guard.Do(ctx, s.guard, who, a, func(*guard.Call) (zero T, _ error) { return zero, err })
}
