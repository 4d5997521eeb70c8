package secretpolicies

import (
	"context"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Preview makes values by a policy, active or not, and stores them nowhere. Scope admin. Error: secret_policy_not_found.
func (s *Service) Preview(ctx context.Context, who guard.Caller, ref string) (vaultapi.SecretPolicyPreview, error) {
	return guard.Do(ctx, s.guard, who, access(ActionPreview, ref), func(c *guard.Call) (vaultapi.SecretPolicyPreview, error) {
		r, err := s.found(ctx, who.Tenant, ref)
		if err != nil {
			return vaultapi.SecretPolicyPreview{}, unread(err)
		}
		c.Note("secret_policy_id", r.ID)
		made, err := s.make(ctx, who.Tenant, r)
		if err != nil {
			return vaultapi.SecretPolicyPreview{}, err
		}
		object, err := made.Over(nil)
		if err != nil {
			return vaultapi.SecretPolicyPreview{}, fault.Internal(err, "preview of secret policy %s", r.ID)
		}
		fields, err := vaultapi.NewValues(object)
		return vaultapi.SecretPolicyPreview{SecretPolicyID: r.ID, Fields: fields}, err
	})
}

// Generate makes values by an active policy of the tenant, found by id or name, for a domain that has judged and
// records the call itself. It may take seconds and must not run in a transaction; Find belongs in the transaction
// that stores what was made. Errors: secret_policy_not_found, invalid_request where the policy is not active.
func (s *Service) Generate(ctx context.Context, tenant, ref string) (id string, made generate.Result, err error) {
	r, err := s.found(ctx, tenant, ref)
	if err != nil {
		return "", generate.Result{}, unread(err)
	}
	if !r.Active {
		return "", generate.Result{}, fault.Invalid(fault.CodeInvalidRequest,
			"secret policy %s is not active: activate it, or name another", r.Name).With("secret_policy_id", r.ID)
	}
	made, err = s.make(ctx, tenant, r)
	return r.ID, made, err
}

// Find gives the id of a policy of the tenant, found by id or name, and keeps it from being deleted until the
// transaction ends, so that what the transaction links to it is seen by whoever deletes it. Call it before other rows
// are locked. Error: secret_policy_not_found.
func (s *Service) Find(c *guard.Call, ref string) (id string, err error) {
	lock := ""
	if s.db.Engine() == store.Postgres {
		lock = " FOR SHARE"
	}
	r, err := find(c.Tx.QueryRow, c.Who.Tenant, ref, lock)
	return r.ID, err
}

// make runs a recipe. Of the slow ones only some run at once.
func (s *Service) make(ctx context.Context, tenant string, r record) (generate.Result, error) {
	fields, err := s.open(ctx, tenant, r)
	if err != nil {
		return generate.Result{}, err
	}
	recipe, err := Recipe(fields)
	if err != nil {
		return generate.Result{}, err
	}
	if recipe.Slow() {
		select {
		case s.slow <- struct{}{}:
			defer func() { <-s.slow }()
		case <-ctx.Done():
			return generate.Result{}, fault.Unavailable(ctx.Err(), "the call ended before a key could be made")
		}
	}
	made, err := recipe.Generate(s.random, s.guard.Now())
	if err != nil {
		return generate.Result{}, fault.Internal(err, "secret policy %s", r.ID)
	}
	return made, nil
}
