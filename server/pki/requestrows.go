package pki

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

const (
	csrColumns = `SELECT id, role, body, common_name, names, status, submitted_by, created_at, decided_by, decided_at, comment, role_settings,
	certificate_id FROM pki_requests `
	csrFind = csrColumns + `WHERE tenant = $1 AND id = $2`
	csrList = csrColumns + `WHERE tenant = $1 AND (created_at, id) > ($2, $3) AND created_at <= $4 AND ($5 = '' OR submitted_by = $5)
	AND ($6 = '' OR status = $6 OR status = $7) ORDER BY created_at, id LIMIT $8`
	csrInsert = `INSERT INTO pki_requests (tenant, id, role, body, common_name, names, status, submitted_by, created_at,
	decided_by, decided_at, comment, role_settings, certificate_id) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, '', NULL, '', '', '')`
	csrUpdate = `UPDATE pki_requests SET status = $3, decided_by = $4, decided_at = $5, comment = $6, role_settings = $7, certificate_id = $8
	WHERE tenant = $1 AND id = $2`
)

// Statuses of a certificate request; statusExpired is shown and never stored.
const (
	statusPending  = "pending"
	statusApproved = "approved"
	statusRejected = "rejected"
	statusSigned   = "signed"
)

const (
	csrPrefix = "csr_"
	csrLife   = 30 * day // from its submission on
)

// csr is a row of pki_requests; times are microseconds.
type csr struct {
	ID, Role, CommonName, Status string
	Body                         vaultapi.CertificateSign
	Names                        []string
	SubmittedBy                  string
	Created                      int64
	DecidedBy                    string
	Decided                      *int64
	Comment, Settings            string
	Certificate                  string
}

func scanCSR(row scanner) (r csr, err error) {
	var body, names string
	err = row.Scan(&r.ID, &r.Role, &body, &r.CommonName, &names, &r.Status, &r.SubmittedBy, &r.Created, &r.DecidedBy, &r.Decided, &r.Comment,
		&r.Settings, &r.Certificate)
	if err != nil {
		return csr{}, err
	}
	if err := errors.Join(json.Unmarshal([]byte(body), &r.Body), json.Unmarshal([]byte(names), &r.Names)); err != nil {
		return csr{}, fmt.Errorf("certificate request %s: %w", r.ID, err)
	}
	return r, nil
}

// findCSR finds a request of the tenant; else csr_not_found. lock is what follows the query.
func findCSR(query queryRow, tenant, id, lock string) (csr, error) {
	if !refPattern.MatchString(id) {
		return csr{}, noCSR(id)
	}
	r, err := scanCSR(query(csrFind+lock, tenant, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return csr{}, noCSR(id)
	case err != nil:
		return csr{}, fmt.Errorf("find certificate request: %w", err)
	}
	return r, nil
}

func noCSR(id string) error {
	return fault.NotFound(fault.CodeCSRNotFound, "there is no certificate request %.128q", id)
}

func insertCSR(c *guard.Call, r csr) error {
	body, err := json.Marshal(r.Body)
	names, nerr := json.Marshal(r.Names)
	if err := errors.Join(err, nerr); err != nil {
		return fmt.Errorf("certificate request: %w", err)
	}
	if _, err := c.Tx.Exec(csrInsert, c.Who.Tenant, r.ID, r.Role, string(body), r.CommonName, string(names), r.Status, r.SubmittedBy, r.Created); err != nil {
		return fmt.Errorf("store certificate request %s: %w", r.ID, err)
	}
	return nil
}

func updateCSR(c *guard.Call, r csr) error {
	if _, err := c.Tx.Exec(csrUpdate, c.Who.Tenant, r.ID, r.Status, r.DecidedBy, r.Decided, r.Comment, r.Settings, r.Certificate); err != nil {
		return fmt.Errorf("store certificate request %s: %w", r.ID, err)
	}
	return nil
}

func (r csr) ends() time.Time { return time.UnixMicro(r.Created).Add(csrLife) }

// status is the stored one, unless nothing can be made of the request any more.
func (r csr) status(now time.Time) string {
	if (r.Status == statusPending || r.Status == statusApproved) && !now.Before(r.ends()) {
		return statusExpired
	}
	return r.Status
}

func (r csr) wire(now time.Time) vaultapi.CertificateRequest {
	w := vaultapi.CertificateRequest{
		ID: r.ID, Role: r.Role, Status: r.status(now), CSRPEM: r.Body.CSRPEM, CommonName: r.CommonName, AltNames: r.Names, TTL: r.Body.TTL,
		SubmittedBy: r.SubmittedBy, CreatedAt: vaultapi.AtMicros(r.Created), ExpiresAt: vaultapi.At(r.ends()), DecidedAt: vaultapi.MaybeAt(r.Decided), Comment: r.Comment,
	}
	if r.DecidedBy != "" {
		w.DecidedBy = &r.DecidedBy
	}
	if r.Certificate != "" {
		w.CertificateID = &r.Certificate
	}
	return w
}

// listed are names as a certificate would have them, each as text.
func listed(n certs.Names) []string {
	all := append([]string{}, n.DNS...)
	for _, ip := range n.IPs {
		all = append(all, ip.String())
	}
	return append(append(all, n.URIs...), n.Emails...)
}
