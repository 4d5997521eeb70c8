package pki

import (
	"context"
	"crypto/x509"
	"database/sql"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

const (
	caRequestColumns = `SELECT id, name, ca_id, renewal, max_path_length, request, uid, key_version, wrapped, sealed, created_by, created_at
	FROM pki_ca_requests `
	caRequestFind   = caRequestColumns + `WHERE tenant = $1 AND id = $2`
	caRequestList   = caRequestColumns + `WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`
	caRequestInsert = `INSERT INTO pki_ca_requests
	(tenant, id, name, ca_id, renewal, max_path_length, request, uid, key_version, wrapped, sealed, created_by, created_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	caRequestDelete = `DELETE FROM pki_ca_requests WHERE tenant = $1 AND id = $2`
)

// caRequest is a row of pki_ca_requests; times are microseconds.
type caRequest struct {
	ID, Name, CA string
	Renewal      bool
	Depth        int // -1: any
	Request      *x509.CertificateRequest
	UID          string
	Sealed       seal.Sealed
	CreatedBy    string
	Created      int64
}

func scanCARequest(row scanner) (r caRequest, err error) {
	var renewal int64
	var der []byte
	err = row.Scan(&r.ID, &r.Name, &r.CA, &renewal, &r.Depth, &der, &r.UID, &r.Sealed.KeyVersion, &r.Sealed.Wrapped, &r.Sealed.Value, &r.CreatedBy, &r.Created)
	if err != nil {
		return caRequest{}, err
	}
	r.Renewal = renewal != 0
	if r.Request, err = x509.ParseCertificateRequest(der); err != nil {
		return caRequest{}, fmt.Errorf("request of authority %s: %w", r.ID, err)
	}
	return r, nil
}

func (r caRequest) wire() vaultapi.AuthorityRequest {
	spec := certs.SpecOf(r.Request.PublicKey)
	w := vaultapi.AuthorityRequest{
		ID: r.ID, Name: r.Name, CAID: r.CA, Renewal: r.Renewal, CommonName: r.Request.Subject.CommonName, KeyType: spec.Type, KeySize: spec.Bits,
		CSRPEM: certs.EncodeRequest(r.Request.Raw), CreatedBy: r.CreatedBy, CreatedAt: vaultapi.AtMicros(r.Created),
	}
	if r.Depth >= 0 {
		w.MaxPathLength = &r.Depth
	}
	return w
}

func (r caRequest) note(c *guard.Call) {
	c.Note("ca_request_id", r.ID)
	c.Note("ca_id", r.CA)
	c.Note("ca_name", r.Name)
}

func insertCARequest(c *guard.Call, r caRequest) error {
	renewal := int64(0)
	if r.Renewal {
		renewal = 1
	}
	_, err := c.Tx.Exec(caRequestInsert, c.Who.Tenant, r.ID, r.Name, r.CA, renewal, r.Depth, r.Request.Raw,
		r.UID, r.Sealed.KeyVersion, r.Sealed.Wrapped, r.Sealed.Value, r.CreatedBy, r.Created)
	switch {
	case store.IsUnique(err):
		return fault.Conflict(fault.CodeCAExists, "there is a request for authority %s already: install its certificate or delete it", r.Name).With("name", r.Name)
	case err != nil:
		return fmt.Errorf("store request %s: %w", r.ID, err)
	}
	return nil
}

// findCARequest finds a request of the tenant; else ca_request_not_found. lock is what follows the query.
func findCARequest(query queryRow, tenant, id, lock string) (caRequest, error) {
	missing := fault.NotFound(fault.CodeCARequestNotFound, "there is no request of an authority %.128q", id)
	if !refPattern.MatchString(id) {
		return caRequest{}, missing
	}
	r, err := scanCARequest(query(caRequestFind+lock, tenant, id))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return caRequest{}, missing
	case err != nil:
		return caRequest{}, fmt.Errorf("find request of an authority: %w", err)
	}
	return r, nil
}

// installed ends a request, and keeps what stands above its certificate.
func (r caRequest) installed(c *guard.Call, above []*x509.Certificate) error {
	der := []byte{}
	for _, a := range above {
		der = append(der, a.Raw...)
	}
	if _, err := c.Tx.Exec(aboveInsert, c.Who.Tenant, r.UID, der); err != nil {
		return fmt.Errorf("store the chain of authority %s: %w", r.CA, err)
	}
	return r.remove(c)
}

func (r caRequest) remove(c *guard.Call) error {
	if _, err := c.Tx.Exec(caRequestDelete, c.Who.Tenant, r.ID); err != nil {
		return fmt.Errorf("delete request %s: %w", r.ID, err)
	}
	return nil
}

// AuthorityRequest returns a request. Scope pki:admin. Error: ca_request_not_found.
func (s *Service) AuthorityRequest(ctx context.Context, who guard.Caller, id string) (vaultapi.AuthorityRequest, error) {
	return guard.Do(ctx, s.guard, who, admin(ActionCARequestRead, id), func(*guard.Call) (vaultapi.AuthorityRequest, error) {
		r, err := findCARequest(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, who.Tenant, id, "")
		if err != nil {
			return vaultapi.AuthorityRequest{}, unread(err)
		}
		return r.wire(), nil
	})
}

// DropAuthorityRequest gives a request up, and destroys its key. Scope pki:admin. Error: ca_request_not_found.
func (s *Service) DropAuthorityRequest(ctx context.Context, who guard.Caller, id string) error {
	_, err := guard.Change(ctx, s.guard, who, admin(ActionCARequestDelete, id), func(c *guard.Call) (struct{}, error) {
		r, err := findCARequest(c.Tx.QueryRow, who.Tenant, id, s.db.ForUpdate())
		if err != nil {
			return struct{}{}, err
		}
		r.note(c)
		return struct{}{}, r.remove(c)
	})
	return err
}

// AuthorityRequests returns one page of the tenant's requests, by name. Scope pki:admin. Errors: invalid_request,
// invalid_cursor.
func (s *Service) AuthorityRequests(ctx context.Context, who guard.Caller, limit int, cursor string) (vaultapi.AuthorityRequestList, error) {
	return guard.Do(ctx, s.guard, who, admin(ActionCARequestList, ""), func(*guard.Call) (vaultapi.AuthorityRequestList, error) {
		byName := listing[caRequest]{"ca requests", caRequestList, scanCARequest, func(r caRequest) string { return r.Name }}
		p, err := pageOf(ctx, s, byName, asked{who.Tenant, limit, cursor})
		l := vaultapi.AuthorityRequestList{Requests: []vaultapi.AuthorityRequest{}, HasMore: p.more, Cursor: p.cursor}
		for _, r := range p.items {
			l.Requests = append(l.Requests, r.wire())
		}
		l.Data = l.Requests
		return l, err
	})
}
