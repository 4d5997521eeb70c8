package pki

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Audit actions of trust anchors (contract section 25).
const (
	ActionAnchorCreate = "pki_trust_anchor_create"
	ActionAnchorUpdate = "pki_trust_anchor_update"
	ActionAnchorDelete = "pki_trust_anchor_delete"
	ActionAnchorRead   = "pki_trust_anchor_read"
	ActionAnchorList   = "pki_trust_anchor_list"
)

const (
	anchorColumns = `SELECT id, name, description, certificate, created_at, updated_at FROM pki_trust_anchors `
	anchorFind    = anchorColumns + `WHERE tenant = $1 AND (id = $2 OR name = $2)`
	anchorList    = anchorColumns + `WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`
	anchorCount   = `SELECT COUNT(*) FROM pki_trust_anchors WHERE tenant = $1`
	anchorInsert  = `INSERT INTO pki_trust_anchors (tenant, id, name, description, certificate, created_at, updated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7)`
	anchorUpdate = `UPDATE pki_trust_anchors SET name = $3, description = $4, updated_at = $5 WHERE tenant = $1 AND id = $2`
	anchorDelete = `DELETE FROM pki_trust_anchors WHERE tenant = $1 AND id = $2`
)

const (
	maxAnchors     = 500 // of a tenant: every validation reads them all
	maxDescription = 1024
	anchorPrefix   = "ta_"
)

// anchor is a row of pki_trust_anchors; times are microseconds.
type anchor struct {
	ID, Name, Description string
	Cert                  *x509.Certificate
	Created, Updated      int64
}

func scanAnchor(row scanner) (a anchor, err error) {
	var der []byte
	if err := row.Scan(&a.ID, &a.Name, &a.Description, &der, &a.Created, &a.Updated); err != nil {
		return anchor{}, err
	}
	if a.Cert, err = x509.ParseCertificate(der); err != nil {
		return anchor{}, fmt.Errorf("certificate of trust anchor %s: %w", a.ID, err)
	}
	return a, nil
}

func (a anchor) wire() vaultapi.TrustAnchor {
	return vaultapi.TrustAnchor{
		ID: a.ID, Name: a.Name, Description: a.Description, Subject: a.Cert.Subject.String(), Issuer: a.Cert.Issuer.String(),
		SerialNumber: certs.FormatSerial(a.Cert.SerialNumber), CertificatePEM: certs.EncodeCertificates(a.Cert.Raw),
		ValidFrom: vaultapi.At(a.Cert.NotBefore), ValidUntil: vaultapi.At(a.Cert.NotAfter),
		CreatedAt: vaultapi.AtMicros(a.Created), UpdatedAt: vaultapi.AtMicros(a.Updated),
	}
}

// check checks what people write of an anchor.
func (a anchor) check() error {
	fields := map[string]string{}
	if !refPattern.MatchString(a.Name) || a.Name == "." || a.Name == ".." || strings.HasPrefix(a.Name, anchorPrefix) {
		fields["name"] = "must be 1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not begin with " + anchorPrefix
	}
	if rule := checkRemark(a.Description); rule != "" {
		fields["description"] = rule
	}
	if len(fields) > 0 {
		return fault.Validation(fields)
	}
	return nil
}

// CreateAnchor trusts the certificate of an authority outside of the vault. Scope pki:admin. Errors: validation_error,
// trust_anchor_exists.
func (s *Service) CreateAnchor(ctx context.Context, who guard.Caller, w vaultapi.TrustAnchorWrite) (vaultapi.TrustAnchor, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionAnchorCreate, ""), func(c *guard.Call) (vaultapi.TrustAnchor, error) {
		a := anchor{ID: newID(anchorPrefix), Name: w.Name, Description: w.Description, Created: c.Now().UnixMicro(), Updated: c.Now().UnixMicro()}
		if err := a.check(); err != nil {
			return vaultapi.TrustAnchor{}, err
		}
		shown, err := certs.ParseCertificates("certificate_pem", w.CertificatePEM)
		if err != nil {
			return vaultapi.TrustAnchor{}, judged(err)
		}
		if len(shown) > 1 {
			return vaultapi.TrustAnchor{}, invalid("certificate_pem", "must hold one certificate: make an anchor for each")
		}
		a.Cert = shown[0]
		if rule := certs.CheckAuthority(a.Cert, c.Now()); rule != "" {
			return vaultapi.TrustAnchor{}, invalid("certificate_pem", rule)
		}
		return a.wire(), s.insertAnchor(c, a)
	})
}

func (s *Service) insertAnchor(c *guard.Call, a anchor) error {
	c.Note("trust_anchor_id", a.ID)
	c.Note("trust_anchor_name", a.Name)
	var count int
	if err := c.Tx.QueryRow(anchorCount, c.Who.Tenant).Scan(&count); err != nil {
		return fmt.Errorf("count trust anchors: %w", err)
	}
	if count >= maxAnchors {
		return invalid("name", fmt.Sprintf("a tenant has at most %d trust anchors: delete some", maxAnchors))
	}
	_, err := c.Tx.Exec(anchorInsert, c.Who.Tenant, a.ID, a.Name, a.Description, a.Cert.Raw, a.Created, a.Updated)
	return anchorStored(err, a)
}

func anchorStored(err error, a anchor) error {
	switch {
	case store.IsUnique(err):
		return fault.Conflict(fault.CodeTrustAnchorExists, "there is a trust anchor %s already", a.Name).With("name", a.Name)
	case err != nil:
		return fmt.Errorf("store trust anchor %s: %w", a.ID, err)
	}
	return nil
}

// findAnchor finds an anchor of the tenant by id or name; else trust_anchor_not_found.
func findAnchor(query queryRow, tenant, ref, lock string) (anchor, error) {
	missing := fault.NotFound(fault.CodeTrustAnchorNotFound, "there is no trust anchor %.128q", ref)
	if !refPattern.MatchString(ref) {
		return anchor{}, missing
	}
	a, err := scanAnchor(query(anchorFind+lock, tenant, ref))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return anchor{}, missing
	case err != nil:
		return anchor{}, fmt.Errorf("find trust anchor: %w", err)
	}
	return a, nil
}

// Anchor returns a trust anchor. Scope pki:admin or pki:issue. Error: trust_anchor_not_found.
func (s *Service) Anchor(ctx context.Context, who guard.Caller, ref string) (vaultapi.TrustAnchor, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionAnchorRead, ref), func(*guard.Call) (vaultapi.TrustAnchor, error) {
		a, err := findAnchor(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, who.Tenant, ref, "")
		if err != nil {
			return vaultapi.TrustAnchor{}, unread(err)
		}
		return a.wire(), nil
	})
}

// PatchAnchor renames or describes a trust anchor. Scope pki:admin. Errors: validation_error, trust_anchor_not_found,
// trust_anchor_exists.
func (s *Service) PatchAnchor(ctx context.Context, who guard.Caller, ref string, p vaultapi.TrustAnchorPatch) (vaultapi.TrustAnchor, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionAnchorUpdate, ref), func(c *guard.Call) (vaultapi.TrustAnchor, error) {
		a, err := findAnchor(c.Tx.QueryRow, who.Tenant, ref, s.db.ForUpdate())
		if err != nil {
			return vaultapi.TrustAnchor{}, err
		}
		if p.Name != nil {
			a.Name = *p.Name
		}
		if p.Description != nil {
			a.Description = *p.Description
		}
		a.Updated = c.Now().UnixMicro()
		if err := a.check(); err != nil {
			return vaultapi.TrustAnchor{}, err
		}
		c.Note("trust_anchor_id", a.ID)
		c.Note("trust_anchor_name", a.Name)
		_, err = c.Tx.Exec(anchorUpdate, who.Tenant, a.ID, a.Name, a.Description, a.Updated)
		return a.wire(), anchorStored(err, a)
	})
}

// DeleteAnchor ends the trust in an authority. Scope pki:admin. Error: trust_anchor_not_found.
func (s *Service) DeleteAnchor(ctx context.Context, who guard.Caller, ref string) error {
	_, err := guard.Change(ctx, s.guard, who, admin(ActionAnchorDelete, ref), func(c *guard.Call) (struct{}, error) {
		a, err := findAnchor(c.Tx.QueryRow, who.Tenant, ref, s.db.ForUpdate())
		if err != nil {
			return struct{}{}, err
		}
		c.Note("trust_anchor_id", a.ID)
		c.Note("trust_anchor_name", a.Name)
		if _, err := c.Tx.Exec(anchorDelete, who.Tenant, a.ID); err != nil {
			return struct{}{}, fmt.Errorf("delete trust anchor %s: %w", a.ID, err)
		}
		return struct{}{}, nil
	})
	return err
}

// Anchors returns one page of the tenant's trust anchors, by name. Scope pki:admin or pki:issue. Errors:
// invalid_request, invalid_cursor.
func (s *Service) Anchors(ctx context.Context, who guard.Caller, limit int, cursor string) (vaultapi.TrustAnchorList, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionAnchorList, ""), func(*guard.Call) (vaultapi.TrustAnchorList, error) {
		byName := listing[anchor]{"trust anchors", anchorList, scanAnchor, func(a anchor) string { return a.Name }}
		p, err := pageOf(ctx, s, byName, asked{who.Tenant, limit, cursor})
		l := vaultapi.TrustAnchorList{TrustAnchors: []vaultapi.TrustAnchor{}, HasMore: p.more, Cursor: p.cursor}
		for _, a := range p.items {
			l.TrustAnchors = append(l.TrustAnchors, a.wire())
		}
		l.Data = l.TrustAnchors
		return l, err
	})
}

// anchors are the tenant's trust anchors behind a name.
func (s *Service) anchors(ctx context.Context, tenant, after string, limit int) ([]anchor, error) {
	rows, err := s.db.Query(ctx, anchorList, tenant, after, limit)
	if err != nil {
		return nil, unread(fmt.Errorf("list trust anchors: %w", err))
	}
	found, err := collect(rows, scanAnchor)
	return found, unread(err)
}
