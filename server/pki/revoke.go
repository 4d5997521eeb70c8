package pki

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

const certificateRevoke = `UPDATE pki_certificates SET revoked_at = $3, reason = $4 WHERE tenant = $1 AND id = $2 AND revoked_at IS NULL`

// reasonOf fills in the usual reason and checks it.
func reasonOf(reason string) (string, error) {
	if reason == "" {
		return "unspecified", nil
	}
	known := certs.Reasons()
	if _, ok := known[reason]; !ok {
		return "", invalid("reason", "must be one of "+strings.Join(slices.Sorted(maps.Keys(known)), ", "))
	}
	return reason, nil
}

// Revoke revokes a certificate by its serial number or its id. What is revoked stays as it was revoked first. Scope
// pki:admin; owned:release suffices for what the caller's own cluster owns. Errors: validation_error,
// certificate_not_found.
func (s *Service) Revoke(ctx context.Context, who guard.Caller, w vaultapi.CertificateRevoke) (vaultapi.Certificate, error) {
	a := admin(ActionRevoke, w.CertificateID)
	a.AltScopes = []string{ScopeRelease}
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.Certificate, error) {
		reason, err := reasonOf(w.Reason)
		if err != nil {
			return vaultapi.Certificate{}, err
		}
		r, err := named(c, w)
		if err != nil {
			return vaultapi.Certificate{}, err
		}
		if err := mayRevoke(c, r, w.Owner); err != nil {
			return vaultapi.Certificate{}, err
		}
		c.Note("certificate_id", r.ID)
		c.Note("serial_number", r.Serial)
		if r.Revoked == nil {
			if err := s.revoke(c, r, reason); err != nil {
				return vaultapi.Certificate{}, err
			}
			if r, err = findCertificate(c.Tx.QueryRow, certificateFind, who.Tenant, r.ID); err != nil {
				return vaultapi.Certificate{}, err
			}
		}
		c.Note("reason", r.Reason)
		return r.wire(c.Now())
	})
}

// named finds the certificate that is to be revoked.
func named(c *guard.Call, w vaultapi.CertificateRevoke) (record, error) {
	if (w.SerialNumber == "") == (w.CertificateID == "") {
		return record{}, invalid("serial_number", "give either it or certificate_id")
	}
	if w.CertificateID != "" {
		return findCertificate(c.Tx.QueryRow, certificateFind, c.Who.Tenant, w.CertificateID)
	}
	serial, ok := certs.ParseSerial(w.SerialNumber)
	if !ok {
		return record{}, invalid("serial_number", "must be hexadecimal, of at most 20 bytes, with or without colons between bytes")
	}
	return findCertificate(c.Tx.QueryRow, certificateSerial, c.Who.Tenant, serial)
}

// revoke marks a certificate, and its authority as one whose list is to be made anew.
func (s *Service) revoke(c *guard.Call, r record, reason string) error {
	if _, err := c.Tx.Exec(certificateRevoke, c.Who.Tenant, r.ID, c.Now().UnixMicro(), reason); err != nil {
		return fmt.Errorf("revoke certificate %s: %w", r.ID, err)
	}
	if _, err := c.Tx.Exec(authorityTouch, c.Who.Tenant, r.CA); err != nil {
		return fmt.Errorf("revoke certificate %s: %w", r.ID, err)
	}
	return nil
}

// RevokeAuthority revokes an authority and all below it, and so every certificate of them. Scope pki:admin. Errors:
// validation_error, ca_not_found.
func (s *Service) RevokeAuthority(ctx context.Context, who guard.Caller, ref string, w vaultapi.AuthorityRevoke) (vaultapi.Authority, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionAuthorityRevoke, ref), func(c *guard.Call) (vaultapi.Authority, error) {
		reason, err := reasonOf(w.Reason)
		if err != nil {
			return vaultapi.Authority{}, err
		}
		a, err := findAuthority(c.Tx.QueryRow, who.Tenant, ref, s.db.ForUpdate())
		if err != nil {
			return vaultapi.Authority{}, err
		}
		c.Note("ca_id", a.ID)
		c.Note("serial_number", a.Serial)
		if a.Parent != "" {
			if _, err := c.Tx.Exec(authorityTouch, who.Tenant, a.Parent); err != nil {
				return vaultapi.Authority{}, fmt.Errorf("revoke authority %s: %w", a.ID, err)
			}
		}
		if err := revokeTree(c, []string{a.ID}, reason); err != nil {
			return vaultapi.Authority{}, err
		}
		a, err = findAuthority(c.Tx.QueryRow, who.Tenant, a.ID, "")
		if err != nil {
			return vaultapi.Authority{}, err
		}
		return a.wire(c.Now()), nil
	})
}

// revokeTree revokes authorities and all below them.
func revokeTree(c *guard.Call, ids []string, reason string) error {
	for len(ids) > 0 {
		id := ids[0]
		if _, err := c.Tx.Exec(authorityRevoke, c.Who.Tenant, id, c.Now().UnixMicro(), reason); err != nil {
			return fmt.Errorf("revoke authority %s: %w", id, err)
		}
		rows, err := c.Tx.Query(authorityBelow, c.Who.Tenant, id)
		if err != nil {
			return fmt.Errorf("authorities below %s: %w", id, err)
		}
		below, err := collect(rows, func(row scanner) (id string, err error) { return id, row.Scan(&id) })
		if err != nil {
			return fmt.Errorf("authorities below %s: %w", id, err)
		}
		ids = append(ids[1:], below...)
	}
	return nil
}
