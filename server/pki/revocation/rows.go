package revocation

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"math/big"
	"regexp"
	"strings"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/internal/certstatus"
	"github.com/scailabs/scaivault/server/fault"
)

const (
	positionFind = `SELECT a.tenant, a.id, a.revision, COALESCE(l.number, 0), COALESCE(l.revision, 0), COALESCE(l.this_update, 0)
	FROM pki_authorities a LEFT JOIN pki_lists l ON l.ca_id = a.id `
	positionByID  = positionFind + `WHERE a.id = $1`
	positionByRef = positionFind + `WHERE a.tenant = $2 AND (a.id = $1 OR a.name = $1)`

	// A revocation is told of for some time after the certificate ended (RFC 5280, 3.3).
	revokedCertificates = `SELECT serial, revoked_at, reason FROM pki_certificates
	WHERE tenant = $1 AND ca_id = $2 AND revoked_at IS NOT NULL AND not_after > $3`
	// Below an authority that is revoked everything is.
	revokedWithAuthority = `SELECT c.serial, a.revoked_at, a.reason FROM pki_authorities a
	JOIN pki_certificates c ON c.tenant = a.tenant AND c.ca_id = a.id
	WHERE a.tenant = $1 AND a.id = $2 AND a.revoked_at IS NOT NULL AND c.revoked_at IS NULL AND c.not_after > $3`
	revokedAuthorities = `SELECT serial, revoked_at, reason FROM pki_authorities
	WHERE tenant = $1 AND parent_id = $2 AND revoked_at IS NOT NULL AND not_after > $3`

	// The keys that such an authority had or will have besides.
	revokedSlots = `SELECT s.serial, a.revoked_at, a.reason FROM pki_authorities a
	JOIN pki_slots s ON s.tenant = a.tenant AND s.ca_id = a.id AND s.uid <> a.uid
	WHERE a.tenant = $1 AND a.parent_id = $2 AND a.revoked_at IS NOT NULL AND s.not_after > $3`

	certificateStatus = `SELECT COALESCE(c.revoked_at, a.revoked_at), CASE WHEN c.revoked_at IS NULL THEN COALESCE(a.reason, '') ELSE c.reason END
	FROM pki_certificates c JOIN pki_authorities a ON a.tenant = c.tenant AND a.id = c.ca_id
	WHERE c.tenant = $1 AND c.ca_id = $2 AND c.serial = $3`
	authorityStatus = `SELECT revoked_at, reason FROM pki_authorities WHERE tenant = $1 AND parent_id = $2 AND serial = $3`

	slotStatus = `SELECT a.revoked_at, a.reason FROM pki_slots s
	JOIN pki_authorities a ON a.tenant = s.tenant AND a.id = s.ca_id WHERE s.tenant = $1 AND a.parent_id = $2 AND s.serial = $3`

	listInsert = `INSERT INTO pki_lists (tenant, ca_id, number, revision, this_update) VALUES ($1, $2, 0, 0, 0) ON CONFLICT (ca_id) DO NOTHING`
	listUpdate = `UPDATE pki_lists SET number = $2, revision = $3, this_update = $4 WHERE ca_id = $1`
	listHold   = `SELECT number, revision, this_update FROM pki_lists WHERE ca_id = $1`
	revisionOf = `SELECT revision FROM pki_authorities WHERE id = $1`
)

// position is how far an authority and its list have come.
type position struct {
	tenant, id string
	revision   int64
	list       issue
}

// issue is a row of pki_lists: what list is the current one, and which revision of the authority it tells of.
type issue struct {
	number, revision int64
	thisUpdate       int64 // microseconds
}

var (
	idPattern  = regexp.MustCompile(`^ca_[a-z0-9]{1,64}$`)
	refPattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)
)

// position finds an authority by its id, in a tenant or (tenant "") in any.
func (s *Service) position(ctx context.Context, tenant, id string) (position, error) {
	if !idPattern.MatchString(id) {
		return position{}, notFound(id)
	}
	p, err := scanPosition(s.db.QueryRow(ctx, positionByID, id), id)
	if err == nil && tenant != "" && p.tenant != tenant {
		return position{}, notFound(id)
	}
	return p, unread(err)
}

func scanPosition(row *sql.Row, ref string) (p position, err error) {
	err = row.Scan(&p.tenant, &p.id, &p.revision, &p.list.number, &p.list.revision, &p.list.thisUpdate)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return p, notFound(ref)
	case err != nil:
		return p, fmt.Errorf("find authority: %w", err)
	}
	return p, nil
}

func notFound(ref string) error {
	return fault.NotFound(fault.CodeCANotFound, "there is no certificate authority %.128q", ref)
}

// revoked are the entries of an authority's list: its certificates and the authorities below it that are revoked and
// did not end before a time.
func (s *Service) revoked(ctx context.Context, p position, ended time.Time) ([]x509.RevocationListEntry, error) {
	var all []x509.RevocationListEntry
	reasons := certs.Reasons()
	for _, query := range []string{revokedCertificates, revokedWithAuthority, revokedAuthorities, revokedSlots} {
		rows, err := s.db.Query(ctx, query, p.tenant, p.id, ended.UnixMicro())
		if err == nil {
			all, err = appendEntries(all, rows, reasons)
		}
		if err != nil {
			return nil, unread(fmt.Errorf("revocations of %s: %w", p.id, err))
		}
	}
	return all, nil
}

func appendEntries(all []x509.RevocationListEntry, rows *sql.Rows, reasons map[string]int) ([]x509.RevocationListEntry, error) {
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		var serial, reason string
		var at int64
		if err := rows.Scan(&serial, &at, &reason); err != nil {
			return nil, err
		}
		n, ok := new(big.Int).SetString(strings.ReplaceAll(serial, ":", ""), 16)
		if !ok {
			return nil, fmt.Errorf("serial number %q", serial)
		}
		all = append(all, x509.RevocationListEntry{SerialNumber: n, RevocationTime: seconds(time.UnixMicro(at)), ReasonCode: reasons[reason]})
	}
	return all, rows.Err()
}

// status looks a certificate up by its serial, among those that the authority issued and the authorities below it.
func (s *Service) status(ctx context.Context, p position, serial *big.Int) (certstatus.Status, error) {
	text := certs.FormatSerial(serial)
	for _, query := range []string{certificateStatus, authorityStatus, slotStatus} {
		var at *int64
		var reason string
		err := s.db.QueryRow(ctx, query, p.tenant, p.id, text).Scan(&at, &reason)
		switch {
		case errors.Is(err, sql.ErrNoRows):
			continue
		case err != nil:
			return certstatus.Status{}, unread(fmt.Errorf("status of a certificate: %w", err))
		case at == nil:
			return certstatus.Status{State: certstatus.Good}, nil
		}
		return certstatus.Status{State: certstatus.Revoked, RevokedAt: seconds(time.UnixMicro(*at)), Reason: certs.Reasons()[reason]}, nil
	}
	return certstatus.Status{State: certstatus.Unknown}, nil
}

// unread is the answer when the database could not be asked; faults stand as they are.
func unread(err error) error {
	if err == nil || fault.Code(err) != fault.CodeInternal {
		return err
	}
	return fault.Unavailable(err, "revocations cannot be read now")
}
