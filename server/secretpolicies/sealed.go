package secretpolicies

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

// draft is a checked recipe, sealed but not yet wrapped. The zero draft leaves the recipe as it is.
type draft struct {
	shown  []vaultapi.SecretPolicyField
	uid    string
	key    seal.DataKey
	sealed []byte
}

// sealed checks a recipe, without work for those who may not write one, and seals it. Nil is no recipe.
func (s *Service) sealed(ctx context.Context, who guard.Caller, a guard.Access, id string, fields *[]vaultapi.SecretPolicyField) (draft, error) {
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil || fields == nil {
		return draft{}, err
	}
	if _, err := Recipe(*fields); err != nil {
		return draft{}, err
	}
	raw, err := encode(*fields)
	if err != nil {
		return draft{}, err
	}
	d := draft{shown: withoutValues(*fields), uid: strings.ToLower(rand.Text())}
	d.key, d.sealed, err = s.keys.Seal(ctx, reference(who.Tenant, id, d.uid), raw)
	return d, sealing(err, id)
}

// reference is what a sealed recipe is bound to. No secret has such a path.
func reference(tenant, id, uid string) seal.Ref {
	return seal.Ref{Tenant: tenant, Path: "secret-policy:" + id, UID: uid, Version: 1}
}

// put makes a draft the recipe of r.
func (s *Service) put(c *guard.Call, r *record, d draft) error {
	if d.uid == "" {
		return nil
	}
	version, wrapped, err := s.keys.Wrap(c.Tx, reference(c.Who.Tenant, r.ID, d.uid), d.key)
	if err != nil {
		return sealing(err, r.ID)
	}
	r.Shown, r.UID = d.shown, d.uid
	r.Sealed = seal.Sealed{KeyVersion: version, Wrapped: wrapped, Value: d.sealed}
	return nil
}

// open gives the whole recipe of a policy.
func (s *Service) open(ctx context.Context, tenant string, r record) ([]vaultapi.SecretPolicyField, error) {
	plain, err := s.keys.OpenValue(ctx, reference(tenant, r.ID, r.UID), r.Sealed)
	if err != nil {
		return nil, sealing(err, r.ID)
	}
	var fields []vaultapi.SecretPolicyField
	if json.Unmarshal(plain.Reveal(), &fields) != nil { // its error would quote a value
		return nil, fault.Internal(errors.New("the recipe is not JSON"), "secret policy %s", r.ID)
	}
	return fields, nil
}

// sealing gives a failure of the key chain its kind; faults stand as they are.
func sealing(err error, id string) error {
	var f *fault.Error
	if err == nil || errors.As(err, &f) {
		return err
	}
	return fault.Internal(err, "secret policy %s", id)
}
