package pki

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// ScopeRelease lets a cluster give back what it owns: see and revoke the certificates of its objects (contract
// section 25).
const ScopeRelease = "owned:release"

const (
	ownerInsert = `INSERT INTO pki_certificate_owners (tenant, owner, certificate_id) VALUES ($1, $2, $3)`
	ownerFind   = `SELECT owner FROM pki_certificate_owners WHERE tenant = $1 AND certificate_id = $2`
	// Owners of which one is the leading parts lie between it with a slash and it with what comes after a slash.
	ownedList = `SELECT o.owner, ` + certificateFields + certificateFrom + `JOIN pki_certificate_owners o ON o.tenant = c.tenant AND o.certificate_id = c.id
	WHERE o.tenant = $1 AND (o.owner = $2 OR (o.owner >= $3 AND o.owner < $4)) AND (o.owner, o.certificate_id) > ($5, $6)
	AND ($7 = 1 OR (c.revoked_at IS NULL AND a.revoked_at IS NULL AND c.not_after > $8)) ORDER BY o.owner, o.certificate_id LIMIT $9`
)

// insertOwner keeps for whom a certificate was made.
func insertOwner(c *guard.Call, id, owner string) error {
	if owner == "" {
		return nil
	}
	if _, err := c.Tx.Exec(ownerInsert, c.Who.Tenant, owner, id); err != nil {
		return fmt.Errorf("store the owner of certificate %s: %w", id, err)
	}
	return nil
}

// mayRevoke lets a token that only releases revoke only what its own cluster owns and says so. To it, everything else
// is not there.
func mayRevoke(c *guard.Call, r record, stated string) error {
	if c.Who.HasScope(ScopeAdmin) || c.Who.Type == guard.TypeSystem {
		return nil
	}
	var owner string
	err := c.Tx.QueryRow(ownerFind, c.Who.Tenant, r.ID).Scan(&owner)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return fmt.Errorf("owner of certificate %s: %w", r.ID, err)
	}
	if owner == "" || owner != stated {
		return fault.NotFound(fault.CodeCertificateNotFound, "there is no certificate %.128q of owner %.128q", r.ID, stated)
	}
	return guard.CheckOwner(c.Who, stated)
}

// ownedCertificate is a certificate with its owner.
type ownedCertificate struct {
	record
	owner string
}

// ownedScanner reads an owner before the columns of a certificate.
type ownedScanner struct {
	scanner
	owner *string
}

// Scan implements scanner.
func (s ownedScanner) Scan(dest ...any) error {
	return s.scanner.Scan(append([]any{s.owner}, dest...)...)
}

func scanOwned(row scanner) (o ownedCertificate, err error) {
	o.record, err = scanCertificate(ownedScanner{row, &o.owner})
	return o, err
}

// owned is a page of the certificates of an owner, or of all whose owners begin with its parts, by owner. Without
// IncludeRevoked they are those that are good now.
func (s *Service) owned(ctx context.Context, c *guard.Call, q CertificateQuery, limit int) (vaultapi.CertificateList, error) {
	l := vaultapi.CertificateList{Certificates: []vaultapi.Certificate{}}
	if !c.Who.HasScope(ScopeAdmin) {
		if err := guard.CheckOwners(c.Who, q.Owner); err != nil {
			return l, err
		}
	}
	if !ownersPattern.MatchString(q.Owner) {
		return l, fault.Invalid(fault.CodeInvalidRequest, "owner must be an owner or leading parts of one, such as k8s:home/Certificate").With("field", "owner")
	}
	text, err := s.cursors.Read(c.Who.Tenant, q.text(), q.Cursor)
	if err != nil {
		return l, err
	}
	owner, id, _ := strings.Cut(text, " ")
	all := int64(0)
	if q.IncludeRevoked {
		all = 1
	}
	rows, err := s.db.Query(ctx, ownedList, c.Who.Tenant, q.Owner, q.Owner+"/", q.Owner+"0", owner, id, all, c.Now().UnixMicro(), limit+1)
	if err != nil {
		return l, unread(fmt.Errorf("list certificates by owner: %w", err))
	}
	found, err := collect(rows, scanOwned)
	if err != nil {
		return l, unread(fmt.Errorf("list certificates by owner: %w", err))
	}
	for _, o := range found[:min(len(found), limit)] {
		w, err := o.wire(c.Now())
		if err != nil {
			return l, err
		}
		w.Owner = o.owner
		l.Certificates = append(l.Certificates, w)
	}
	if l.Data, l.HasMore = l.Certificates, len(found) > limit; l.HasMore {
		next := s.cursors.Write(c.Who.Tenant, q.text(), found[limit-1].owner+" "+found[limit-1].ID)
		l.Cursor = &next
	}
	return l, nil
}
