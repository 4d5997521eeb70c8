package pki

import (
	"context"
	"crypto/x509"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Audit actions of authorities that are signed outside (contract section 25).
const (
	ActionCARequestCreate  = "pki_ca_request_create"
	ActionCARequestRead    = "pki_ca_request_read"
	ActionCARequestList    = "pki_ca_request_list"
	ActionCARequestDelete  = "pki_ca_request_delete"
	ActionCARequestInstall = "pki_ca_request_install"
)

const caRequestPrefix = "car_"

// RequestAuthority makes the key of an intermediate that an authority outside of the vault is to sign, and the request
// for its certificate. Scope pki:admin. Errors: validation_error, ca_not_found, ca_exists, ca_inactive, and
// ca_not_external where ca_id is of an authority that the vault signs itself.
func (s *Service) RequestAuthority(ctx context.Context, who guard.Caller, w vaultapi.AuthorityRequestWrite) (vaultapi.AuthorityRequest, error) {
	access := admin(ActionCARequestCreate, w.Name)
	r, sealed, err := s.prepareRequest(ctx, who, access, w)
	if err != nil {
		return refused[vaultapi.AuthorityRequest](ctx, s, who, access, err)
	}
	return guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (vaultapi.AuthorityRequest, error) {
		r.CreatedBy, r.Created = who.ID, c.Now().UnixMicro()
		if err := r.allowed(c); err != nil {
			return vaultapi.AuthorityRequest{}, err
		}
		r.Sealed.Value = sealed.value
		if r.Sealed.KeyVersion, r.Sealed.Wrapped, err = s.keys.Wrap(c.Tx, sealed.ref, sealed.key); err != nil {
			return vaultapi.AuthorityRequest{}, sealing(err, r.CA)
		}
		r.note(c)
		return r.wire(), insertCARequest(c, r)
	})
}

// prepareRequest does what takes time before the transaction.
func (s *Service) prepareRequest(ctx context.Context, who guard.Caller, access guard.Access, w vaultapi.AuthorityRequestWrite) (r caRequest, k sealedKey, err error) {
	if _, err := s.guard.Check(ctx, who, access, 0); err != nil {
		return r, k, err
	}
	r = caRequest{ID: newID(caRequestPrefix), Name: w.Name, CA: newID("ca_"), Depth: -1, UID: newID("")}
	if w.CAID != "" {
		if err := s.continued(ctx, who.Tenant, &w, &r); err != nil {
			return r, k, err
		}
	}
	spec, err := checkRequestWrite(&w)
	if err != nil {
		return r, k, err
	}
	if w.MaxPathLength != nil {
		r.Depth = *w.MaxPathLength
	}
	key, err := spec.Generate(s.random)
	if err != nil {
		return r, k, fault.Internal(err, "key of authority %s", r.Name)
	}
	der, err := certs.RequestAuthority(key, w.CommonName, r.Depth)
	if err != nil {
		return r, k, fault.Internal(err, "request of authority %s", r.Name)
	}
	if r.Request, err = x509.ParseCertificateRequest(der); err != nil {
		return r, k, fault.Internal(err, "request of authority %s", r.Name)
	}
	k, err = s.sealKey(ctx, keyReference(who.Tenant, r.CA, r.UID), key)
	return r, k, err
}

// continued fills in what a request for the next slot of an authority says: what its active one does.
func (s *Service) continued(ctx context.Context, tenant string, w *vaultapi.AuthorityRequestWrite, r *caRequest) error {
	a, err := s.authority(ctx, tenant, w.CAID)
	if err != nil {
		return err
	}
	if !a.external() {
		return fault.Conflict(fault.CodeCANotExternal,
			"authority %s was signed by this vault: POST /v1/pki/ca/%s/slots makes its next certificate", a.Name, a.ID).With("ca_id", a.ID)
	}
	if w.Name != "" && w.Name != a.Name || w.CommonName != "" {
		return invalid("ca_id", "name and common name are the authority's: leave them out")
	}
	have := a.wire(s.guard.Now())
	r.Name, r.CA, r.Renewal = a.Name, a.ID, true
	w.Name, w.CommonName = a.Name, have.CommonName
	if w.KeyType == "" {
		w.KeyType, w.KeySize = have.KeyType, have.KeySize
	}
	if w.MaxPathLength == nil {
		w.MaxPathLength = have.MaxPathLength
	}
	return nil
}

// checkRequestWrite is checkAuthority for what a request has of an authority.
func checkRequestWrite(w *vaultapi.AuthorityRequestWrite) (certs.KeySpec, error) {
	var p plan
	like := vaultapi.AuthorityWrite{Name: w.Name, CommonName: w.CommonName, CAType: typeRoot, KeyType: w.KeyType, KeySize: w.KeySize}
	if err := checkAuthority(&like, &p); err != nil {
		return p.spec, err
	}
	if n := w.MaxPathLength; n != nil && (*n < 0 || *n > maxDepth) {
		return p.spec, invalid("max_path_length", fmt.Sprintf("must be 0 to %d", maxDepth))
	}
	return p.spec, nil
}

// allowed refuses a request for a name that is taken, or for the next slot of an authority that is revoked.
func (r caRequest) allowed(c *guard.Call) error {
	a, err := findAuthority(c.Tx.QueryRow, c.Who.Tenant, r.Name, "")
	switch {
	case fault.Is(err, fault.CodeCANotFound):
		return nil
	case err != nil:
		return err
	case !r.Renewal:
		return fault.Conflict(fault.CodeCAExists, "there is an authority %s already: for its next certificate give ca_id", r.Name).With("name", r.Name)
	case a.Revoked != nil:
		return fault.Conflict(fault.CodeCAInactive, "authority %s is revoked: make another", a.Name).With("ca_id", a.ID)
	}
	return nil
}

// InstallAuthority takes the certificate that was made of a request. The authority is there from then on, or, if it was
// before, has a slot that is prepared. Scope pki:admin. Errors: ca_request_not_found, validation_error, ca_exists,
// ca_inactive, slot_exists.
func (s *Service) InstallAuthority(ctx context.Context, who guard.Caller, id string, w vaultapi.AuthorityInstall) (vaultapi.Authority, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionCARequestInstall, id), func(c *guard.Call) (vaultapi.Authority, error) {
		r, err := findCARequest(c.Tx.QueryRow, who.Tenant, id, s.db.ForUpdate())
		if err != nil {
			return vaultapi.Authority{}, err
		}
		r.note(c)
		cert, above, err := s.signedOutside(ctx, c, r, w)
		if err != nil {
			return vaultapi.Authority{}, judged(err)
		}
		a, err := s.install(c, r, cert)
		if err != nil {
			return vaultapi.Authority{}, err
		}
		if err := r.installed(c, above); err != nil {
			return vaultapi.Authority{}, err
		}
		return a.wire(c.Now()), nil
	})
}

// signedOutside reads and checks what was sent.
func (s *Service) signedOutside(ctx context.Context, c *guard.Call, r caRequest, w vaultapi.AuthorityInstall) (cert *x509.Certificate, above []*x509.Certificate, err error) {
	cert, between, err := shown(vaultapi.CertificateValidate{CertificatePEM: w.CertificatePEM, ChainPEM: w.ChainPEM})
	if err != nil {
		return nil, nil, err
	}
	if len(between) >= maxDepth {
		return nil, nil, invalid("chain_pem", fmt.Sprintf("at most %d authorities stand above one another", maxDepth))
	}
	known, err := s.anchors(ctx, c.Who.Tenant, "", maxAnchors)
	if err != nil {
		return nil, nil, err
	}
	var anchors []*x509.Certificate
	for _, a := range known {
		anchors = append(anchors, a.Cert)
	}
	o := certs.SignedOutside{Request: r.Request, Cert: cert, Above: between, Depth: max(r.Depth, 0)}
	above, err = o.Complete(anchors, c.Now())
	return cert, above, err
}

// install makes the authority, or its next slot.
func (s *Service) install(c *guard.Call, r caRequest, cert *x509.Certificate) (authority, error) {
	if r.Renewal {
		held, err := s.rotating(c, r.CA)
		if err != nil {
			return authority{}, err
		}
		if err := held.roomy(cert); err != nil {
			return authority{}, err
		}
		_, err = held.add(slot{UID: r.UID, CA: r.CA, Cert: cert, Created: c.Now().UnixMicro(), Sealed: r.Sealed})
		return held.a, err
	}
	a := authority{
		ID: r.CA, Name: r.Name, Type: typeIntermediate, Serial: certs.FormatSerial(cert.SerialNumber), DER: cert.Raw, Cert: cert,
		NotAfter: cert.NotAfter.UnixMicro(), Created: c.Now().UnixMicro(), UID: r.UID, Sealed: r.Sealed,
	}
	c.Note("serial_number", a.Serial)
	return a, insertAuthority(c, a)
}

// roomy refuses a next certificate under which the authorities that stand below could not.
func (r rotation) roomy(cert *x509.Certificate) error {
	length, limited := certs.PathLength(cert)
	if !limited || length >= maxDepth {
		return nil
	}
	have, was := certs.PathLength(r.a.Cert)
	if was && length >= have {
		return nil
	}
	rows, err := r.c.Tx.Query(authorityBelow, r.c.Who.Tenant, r.a.ID)
	if err != nil {
		return fmt.Errorf("authorities below %s: %w", r.a.ID, err)
	}
	below, err := collect(rows, func(row scanner) (id string, err error) { return id, row.Scan(&id) })
	if err != nil {
		return fmt.Errorf("authorities below %s: %w", r.a.ID, err)
	}
	if len(below) > 0 {
		return invalid("certificate_pem", fmt.Sprintf("has path length %d, shorter than that of the active slot, and authorities stand below it: %s",
			length, strings.Join(below, ", ")))
	}
	return nil
}
