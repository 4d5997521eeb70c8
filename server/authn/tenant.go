package authn

import (
	"context"
	"database/sql"
	"errors"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// ResolveTenant says for whom who acts when a request names a tenant, by `/v1/t/{tenant_id}` or X-Tenant-ID
// (contract section 15.3); "" and the token's own tenant change nothing. Any other takes a partner_admin (or
// super_admin) of the same partner. Errors: tenant_access_denied, also for tenants that do not exist when who may
// not look; tenant_not_found.
func (s *Service) ResolveTenant(ctx context.Context, who guard.Caller, requested string) (guard.Caller, error) {
	if requested == "" || requested == who.Tenant {
		return who, nil
	}
	denied := fault.Forbidden(fault.CodeTenantAccessDenied, "your token belongs to another tenant: acting for a tenant takes a partner_admin of its partner")
	if !who.HasRole(RolePartnerAdmin) && !who.HasRole(guard.RoleSuperAdmin) {
		return guard.Caller{}, denied
	}
	partner, err := s.PartnerOf(ctx, requested)
	if err != nil {
		return guard.Caller{}, err
	}
	if partner != who.Partner {
		return guard.Caller{}, denied
	}
	who.Tenant = requested
	return who, nil
}

// PartnerOf tells which partner a tenant belongs to. Error: tenant_not_found.
func (s *Service) PartnerOf(ctx context.Context, tenant string) (string, error) {
	partner, err := partnerOf(ctx, s.db, tenant)
	if errors.Is(err, sql.ErrNoRows) {
		return "", fault.NotFound(fault.CodeTenantNotFound, "there is no tenant %.64q", tenant)
	}
	if err != nil {
		return "", fault.Unavailable(err, "tenants cannot be read now")
	}
	return partner, nil
}
