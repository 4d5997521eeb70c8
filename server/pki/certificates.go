package pki

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

const (
	certificateFields = `c.id, c.serial, c.ca_id, c.role, c.common_name, c.certificate, c.not_after, c.replaces, c.created_by, c.created_at,
	COALESCE(c.revoked_at, a.revoked_at), CASE WHEN c.revoked_at IS NULL THEN COALESCE(a.reason, '') ELSE c.reason END`
	certificateFrom = `
	FROM pki_certificates c JOIN pki_authorities a ON a.tenant = c.tenant AND a.id = c.ca_id `
	certificateColumns = `SELECT ` + certificateFields + certificateFrom

	certificateFind   = certificateColumns + `WHERE c.tenant = $1 AND c.id = $2`
	certificateSerial = certificateColumns + `WHERE c.tenant = $1 AND c.serial = $2`
	// Two texts, so that each has an index of its own order. In the second an authority is a range: SQLite takes an
	// equation as a reason to go through the other index and leave most of it out.
	certificateList = certificateColumns + `WHERE c.tenant = $1 AND (c.not_after, c.id) > ($2, $3) AND c.not_after <= $4
	AND ($5 = 1 OR (c.revoked_at IS NULL AND a.revoked_at IS NULL)) ORDER BY c.not_after, c.id LIMIT $6`
	certificateListOf = certificateColumns + `WHERE c.tenant = $1 AND (c.ca_id, c.not_after, c.id) > ($7, $2, $3) AND (c.ca_id, c.not_after) <= ($7, $4)
	AND ($5 = 1 OR (c.revoked_at IS NULL AND a.revoked_at IS NULL)) ORDER BY c.ca_id, c.not_after, c.id LIMIT $6`
	certificateInsert = `INSERT INTO pki_certificates
	(tenant, id, serial, ca_id, role, common_name, certificate, not_before, not_after, replaces, created_by, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`
)

// Statuses of a certificate.
const (
	statusActive  = "active"
	statusExpired = "expired"
	statusRevoked = "revoked"
)

const endOfTime = 1<<63 - 1

// record is a row of pki_certificates with what its authority says of it; times are microseconds.
type record struct {
	ID, Serial, CA, Role, CommonName string
	DER                              []byte
	NotAfter, Created                int64
	Replaces, CreatedBy              string
	Revoked                          *int64
	Reason                           string
}

func scanCertificate(row scanner) (r record, err error) {
	err = row.Scan(&r.ID, &r.Serial, &r.CA, &r.Role, &r.CommonName, &r.DER, &r.NotAfter, &r.Replaces, &r.CreatedBy, &r.Created, &r.Revoked, &r.Reason)
	return r, err
}

// findCertificate finds a certificate of the tenant by id or serial, as find says; else certificate_not_found.
func findCertificate(query queryRow, find, tenant, ref string) (record, error) {
	if !certPattern.MatchString(ref) {
		return record{}, certificateNotFound(ref)
	}
	r, err := scanCertificate(query(find, tenant, ref))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return record{}, certificateNotFound(ref)
	case err != nil:
		return record{}, fmt.Errorf("find certificate: %w", err)
	}
	return r, nil
}

func certificateNotFound(ref string) error {
	return fault.NotFound(fault.CodeCertificateNotFound, "there is no certificate %.128q", ref)
}

// certificate finds a certificate outside of a transaction.
func (s *Service) certificate(ctx context.Context, tenant, find, ref string) (record, error) {
	r, err := findCertificate(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, find, tenant, ref)
	return r, unread(err)
}

func insertCertificate(c *guard.Call, m made, o order) error {
	_, err := c.Tx.Exec(certificateInsert, c.Who.Tenant, m.id, certs.FormatSerial(m.cert.SerialNumber), m.chain[0].ID, m.role.Name, m.names.CommonName,
		m.cert.Raw, m.cert.NotBefore.UnixMicro(), m.cert.NotAfter.UnixMicro(), o.replaces, c.Who.ID, c.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("store certificate %s: %w", m.id, err)
	}
	return nil
}

// wire is a certificate as it is listed.
func (r record) wire(now time.Time) (vaultapi.Certificate, error) {
	cert, err := x509.ParseCertificate(r.DER)
	if err != nil {
		return vaultapi.Certificate{}, fmt.Errorf("certificate %s: %w", r.ID, err)
	}
	w := vaultapi.Certificate{
		ID: r.ID, SerialNumber: r.Serial, CAID: r.CA, Role: r.Role, CommonName: r.CommonName, AltNames: names(cert), Status: statusActive,
		ValidFrom: vaultapi.At(cert.NotBefore), ValidUntil: vaultapi.At(cert.NotAfter), RevokedAt: vaultapi.MaybeAt(r.Revoked),
		Replaces: r.Replaces, CreatedBy: r.CreatedBy, CreatedAt: vaultapi.AtMicros(r.Created),
	}
	switch {
	case r.Revoked != nil:
		w.Status, w.RevocationReason = statusRevoked, &r.Reason
	case r.NotAfter <= now.UnixMicro():
		w.Status = statusExpired
	}
	return w, nil
}

// names are all alternative names of a certificate, each as text.
func names(c *x509.Certificate) []string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return append(all, c.EmailAddresses...)
}

// Certificate returns an issued certificate. Scope pki:admin, or pki:issue and permission issue on its role. Error:
// certificate_not_found.
func (s *Service) Certificate(ctx context.Context, who guard.Caller, id string) (vaultapi.Certificate, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionCertificateRead, id), func(c *guard.Call) (vaultapi.Certificate, error) {
		r, err := s.visible(ctx, who, id)
		if err != nil {
			return vaultapi.Certificate{}, err
		}
		return r.wire(c.Now())
	})
}

// CertificatePEM returns a certificate as PEM. Scope and errors are those of Certificate.
func (s *Service) CertificatePEM(ctx context.Context, who guard.Caller, id string) (string, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionCertificateRead, id), func(*guard.Call) (string, error) {
		r, err := s.visible(ctx, who, id)
		return certs.EncodeCertificates(r.DER), err
	})
}

// visible finds a certificate for those who may see it, by the newest policies. To others it is not there.
func (s *Service) visible(ctx context.Context, who guard.Caller, id string) (record, error) {
	r, err := s.certificate(ctx, who.Tenant, certificateFind, id)
	if err != nil || who.HasScope(ScopeAdmin) {
		return r, err
	}
	if err := s.mayIssue(ctx, who, r); err != nil {
		return record{}, err
	}
	return r, nil
}

// CertificateQuery selects certificates.
type CertificateQuery struct {
	CA             string        // id or name of the authority; "": all
	ExpiringWithin time.Duration // only those that are valid now and end so soon; 0: all
	IncludeRevoked bool
	Owner          string // all of it, or leading parts such as k8s:home: only theirs, by owner; ExpiringWithin and CA do not count then
	Limit          int    // 0: DefaultLimit
	Cursor         string
}

func (q CertificateQuery) text() string {
	return fmt.Sprintf("pki certificates %q %d %t %q", q.CA, q.ExpiringWithin, q.IncludeRevoked, q.Owner)
}

// place is where a page begins: after an end and an id.
type place struct {
	at int64
	id string
}

func (p place) String() string { return strconv.FormatInt(p.at, 10) + " " + p.id }

func readPlace(text string, first int64) (place, error) {
	if text == "" {
		return place{at: first}, nil
	}
	at, id, _ := strings.Cut(text, " ")
	n, err := strconv.ParseInt(at, 10, 64)
	return place{n, id}, err
}

// Certificates returns one page of certificates, the earliest end first. Scope pki:admin, or pki:issue; then only those
// of roles that the caller may issue by are in it, so that a page may be short; with owned:release those of an owner of
// the caller's own cluster. Errors: forbidden, invalid_request, invalid_cursor,
// ca_not_found.
func (s *Service) Certificates(ctx context.Context, who guard.Caller, q CertificateQuery) (vaultapi.CertificateList, error) {
	a := reading(ActionCertificateList, "")
	a.AltScopes = append(a.AltScopes, ScopeRelease)
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.CertificateList, error) {
		var l vaultapi.CertificateList
		limit, err := pageSize(q.Limit)
		if err != nil {
			return l, err
		}
		if q.Owner != "" {
			return s.owned(ctx, c, q, limit)
		}
		found, err := s.page(ctx, who.Tenant, q, c.Now(), limit)
		if err != nil {
			return l, err
		}
		seen := func(string) bool { return true }
		if !who.HasScope(ScopeAdmin) {
			if seen, _, err = s.guard.Allowed(ctx, who, policy.Issue, policy.ClassPKI); err != nil {
				return l, err
			}
		}
		l.Certificates = []vaultapi.Certificate{}
		for _, r := range found[:min(len(found), limit)] {
			if !seen(r.Role) {
				continue
			}
			w, err := r.wire(c.Now())
			if err != nil {
				return vaultapi.CertificateList{}, err
			}
			l.Certificates = append(l.Certificates, w)
		}
		if l.Data, l.HasMore = l.Certificates, len(found) > limit; l.HasMore {
			next := s.cursors.Write(who.Tenant, q.text(), place{found[limit-1].NotAfter, found[limit-1].ID}.String())
			l.Cursor = &next
		}
		return l, nil
	})
}

// page is what a page holds, and one more where there is more.
func (s *Service) page(ctx context.Context, tenant string, q CertificateQuery, now time.Time, limit int) ([]record, error) {
	text, err := s.cursors.Read(tenant, q.text(), q.Cursor)
	if err != nil {
		return nil, err
	}
	first, last, revoked := int64(0), int64(endOfTime), int64(0)
	if q.ExpiringWithin > 0 {
		first, last = now.UnixMicro(), now.Add(q.ExpiringWithin).UnixMicro()
	}
	if q.IncludeRevoked {
		revoked = 1
	}
	after, err := readPlace(text, first)
	if err != nil {
		return nil, fault.Internal(err, "a cursor of our own")
	}
	query, args := certificateList, []any{tenant, after.at, after.id, last, revoked, limit + 1}
	if q.CA != "" {
		ca, err := s.authority(ctx, tenant, q.CA)
		if err != nil {
			return nil, err
		}
		query, args = certificateListOf, append(args, ca.ID)
	}
	rows, err := s.db.Query(ctx, query, args...)
	if err != nil {
		return nil, unread(fmt.Errorf("list certificates: %w", err))
	}
	found, err := collect(rows, scanCertificate)
	if err != nil {
		return nil, unread(fmt.Errorf("list certificates: %w", err))
	}
	return found, nil
}
