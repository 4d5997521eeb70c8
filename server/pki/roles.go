package pki

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	roleColumns = `SELECT name, ca_id, settings, created_at, updated_at FROM pki_roles `
	roleFind    = roleColumns + `WHERE tenant = $1 AND name = $2`
	roleList    = roleColumns + `WHERE tenant = $1 AND name > $2 ORDER BY name LIMIT $3`
	roleInsert  = `INSERT INTO pki_roles (tenant, name, ca_id, settings, created_at, updated_at) VALUES ($1, $2, $3, $4, $5, $6)`
	roleUpdate  = `UPDATE pki_roles SET ca_id = $3, settings = $4, updated_at = $5 WHERE tenant = $1 AND name = $2`
	roleDelete  = `DELETE FROM pki_roles WHERE tenant = $1 AND name = $2`
)

const (
	defaultMaxTTL = "720h"
	shortestTTL   = time.Minute
	longestTTL    = 10 * 365 * day
)

// role is a row of pki_roles; times are microseconds.
type role struct {
	vaultapi.PKIRole
	settings         string // as stored, by which two readings of a role are told apart
	created, updated int64
}

func scanRole(row scanner) (role, error) {
	var r role
	var name, ca string
	if err := row.Scan(&name, &ca, &r.settings, &r.created, &r.updated); err != nil {
		return role{}, err
	}
	if err := json.Unmarshal([]byte(r.settings), &r.PKIRole); err != nil {
		return role{}, fmt.Errorf("settings of role %s: %w", name, err)
	}
	r.Name, r.CAID = name, ca
	r.CreatedAt, r.UpdatedAt = vaultapi.AtMicros(r.created), vaultapi.AtMicros(r.updated)
	return r, nil
}

// findRole finds a role of the tenant. Errors: invalid_role, role_not_found. lock is what follows the query.
func findRole(query queryRow, tenant, name, lock string) (role, error) {
	if !rolePattern.MatchString(name) {
		return role{}, fault.Invalid(fault.CodeInvalidRole, "a role's name is 1 to 64 of a-z, 0-9, - and _")
	}
	r, err := scanRole(query(roleFind+lock, tenant, name))
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return role{}, fault.NotFound(fault.CodeRoleNotFound, "there is no role %s", name)
	case err != nil:
		return role{}, fmt.Errorf("find role: %w", err)
	}
	return r, nil
}

// role finds a role outside of a transaction.
func (s *Service) role(ctx context.Context, tenant, name string) (role, error) {
	r, err := findRole(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, tenant, name, "")
	return r, unread(err)
}

func (r role) rules() certs.Rules {
	return certs.Rules{
		AllowedDomains: r.AllowedDomains, AllowSubdomains: r.AllowSubdomains, AllowIPs: r.AllowIPSANs,
		AllowedURIs: r.AllowedURIs, AllowEmails: r.AllowEmailSANs, RequireCN: r.RequireCN,
	}
}

func (r role) spec() certs.KeySpec { return certs.KeySpec{Type: r.KeyType, Bits: r.KeyBits} }

// Role returns a role. Scope pki:admin or pki:issue. Errors: invalid_role, role_not_found.
func (s *Service) Role(ctx context.Context, who guard.Caller, name string) (vaultapi.PKIRole, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionRoleRead, name), func(*guard.Call) (vaultapi.PKIRole, error) {
		r, err := s.role(ctx, who.Tenant, name)
		return r.PKIRole, err
	})
}

// Roles returns one page of the tenant's roles, by name. Scope pki:admin or pki:issue. Errors: invalid_request,
// invalid_cursor.
func (s *Service) Roles(ctx context.Context, who guard.Caller, limit int, cursor string) (vaultapi.PKIRoleList, error) {
	return guard.Do(ctx, s.guard, who, reading(ActionRoleList, ""), func(*guard.Call) (vaultapi.PKIRoleList, error) {
		byName := listing[role]{"roles", roleList, scanRole, func(r role) string { return r.Name }}
		p, err := pageOf(ctx, s, byName, asked{who.Tenant, limit, cursor})
		l := vaultapi.PKIRoleList{Roles: []vaultapi.PKIRole{}, HasMore: p.more, Cursor: p.cursor}
		for _, r := range p.items {
			l.Roles = append(l.Roles, r.PKIRole)
		}
		l.Data = l.Roles
		return l, err
	})
}

// CreateRole makes a role. Scope pki:admin. Errors: validation_error, invalid_role, ca_not_found, role_exists.
func (s *Service) CreateRole(ctx context.Context, who guard.Caller, w vaultapi.PKIRoleWrite) (vaultapi.PKIRole, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionRoleCreate, w.Name), func(c *guard.Call) (vaultapi.PKIRole, error) {
		if !rolePattern.MatchString(w.Name) {
			return vaultapi.PKIRole{}, fault.Invalid(fault.CodeInvalidRole, "a role's name is 1 to 64 of a-z, 0-9, - and _")
		}
		r := role{PKIRole: vaultapi.PKIRole{
			Name: w.Name, CAID: w.CAID, AllowedDomains: w.AllowedDomains, AllowSubdomains: w.AllowSubdomains, AllowIPSANs: w.AllowIPSANs,
			AllowedURIs: w.AllowedURIs, AllowEmailSANs: w.AllowEmailSANs, MaxTTL: w.MaxTTL, KeyType: w.KeyType, KeyBits: w.KeyBits,
			RequireCN: w.RequireCN == nil || *w.RequireCN, StorePrivateKeys: w.StorePrivateKeys,
		}, created: c.Now().UnixMicro()}
		return s.keep(c, r, roleInsert)
	})
}

// PatchRole changes what is given of a role. Scope pki:admin. Errors: those of CreateRole, role_not_found.
func (s *Service) PatchRole(ctx context.Context, who guard.Caller, name string, p vaultapi.PKIRolePatch) (vaultapi.PKIRole, error) {
	return guard.Change(ctx, s.guard, who, admin(ActionRoleUpdate, name), func(c *guard.Call) (vaultapi.PKIRole, error) {
		r, err := findRole(c.Tx.QueryRow, who.Tenant, name, s.db.ForUpdate())
		if err != nil {
			return vaultapi.PKIRole{}, err
		}
		if p.KeyType != nil && p.KeyBits == nil {
			r.KeyBits = 0
		}
		set(&r.CAID, p.CAID)
		set(&r.AllowedDomains, p.AllowedDomains)
		set(&r.AllowSubdomains, p.AllowSubdomains)
		set(&r.AllowIPSANs, p.AllowIPSANs)
		set(&r.AllowedURIs, p.AllowedURIs)
		set(&r.AllowEmailSANs, p.AllowEmailSANs)
		set(&r.MaxTTL, p.MaxTTL)
		set(&r.KeyType, p.KeyType)
		set(&r.KeyBits, p.KeyBits)
		set(&r.RequireCN, p.RequireCN)
		set(&r.StorePrivateKeys, p.StorePrivateKeys)
		return s.keep(c, r, roleUpdate)
	})
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

// keep checks a role as it is to be and stores it.
func (s *Service) keep(c *guard.Call, r role, query string) (vaultapi.PKIRole, error) {
	if err := r.tidy(); err != nil {
		return vaultapi.PKIRole{}, err
	}
	ca, err := findAuthority(c.Tx.QueryRow, c.Who.Tenant, r.CAID, "")
	if err != nil {
		return vaultapi.PKIRole{}, err
	}
	r.CAID, r.updated = ca.ID, c.Now().UnixMicro()
	r.CreatedAt, r.UpdatedAt = vaultapi.AtMicros(r.created), vaultapi.AtMicros(r.updated)
	settings, err := json.Marshal(r.PKIRole)
	if err != nil {
		return vaultapi.PKIRole{}, fmt.Errorf("settings of role %s: %w", r.Name, err)
	}
	args := []any{c.Who.Tenant, r.Name, r.CAID, string(settings), r.updated}
	if query == roleInsert {
		args = append(args, r.updated)
	}
	_, err = c.Tx.Exec(query, args...)
	switch {
	case store.IsUnique(err):
		return vaultapi.PKIRole{}, fault.Conflict(fault.CodeRoleExists, "there is a role %s already", r.Name).With("name", r.Name)
	case err != nil:
		return vaultapi.PKIRole{}, fmt.Errorf("store role %s: %w", r.Name, err)
	}
	c.Note("role", r.Name)
	return r.PKIRole, nil
}

// tidy fills in what is usual and checks the rest: 422 validation_error.
func (r *role) tidy() error {
	if r.MaxTTL == "" {
		r.MaxTTL = defaultMaxTTL
	}
	if r.KeyType == "" {
		r.KeyType = certs.EC
	}
	r.AllowedDomains, r.AllowedURIs = append([]string{}, r.AllowedDomains...), append([]string{}, r.AllowedURIs...)
	if _, err := lifetime("max_ttl", r.MaxTTL); err != nil {
		return err
	}
	spec, known := r.spec().Known()
	r.KeyBits = spec.Bits
	switch {
	case !known:
		return invalid("key_type", "must be rsa (2048, 3072, 4096 bits), ec (256, 384) or ed25519")
	case len(r.AllowedDomains)+len(r.AllowedURIs) > 10*certs.MaxNames:
		return invalid("allowed_domains", fmt.Sprintf("at most %d domains and URIs", 10*certs.MaxNames))
	}
	return judged(r.rules().Check())
}

// lifetime reads how long a certificate may live. Errors: invalid_duration, validation_error.
func lifetime(field, text string) (time.Duration, error) {
	d, err := schedule.ParseDuration(text)
	if err != nil {
		return 0, fault.Invalid(fault.CodeInvalidDuration, "%s must be a duration such as 168h", field).With("field", field)
	}
	if d < shortestTTL || d > longestTTL {
		return 0, invalid(field, "must be from 1m to ten years")
	}
	return d, nil
}

// DeleteRole removes a role; what was issued by it stays. Scope pki:admin. Errors: invalid_role, role_not_found.
func (s *Service) DeleteRole(ctx context.Context, who guard.Caller, name string) error {
	_, err := guard.Change(ctx, s.guard, who, admin(ActionRoleDelete, name), func(c *guard.Call) (struct{}, error) {
		if _, err := findRole(c.Tx.QueryRow, who.Tenant, name, s.db.ForUpdate()); err != nil {
			return struct{}{}, err
		}
		if _, err := c.Tx.Exec(roleDelete, who.Tenant, name); err != nil {
			return struct{}{}, fmt.Errorf("delete role %s: %w", name, err)
		}
		return struct{}{}, nil
	})
	return err
}
