package events

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	scopeRead     = "subscriptions:read"
	scopeWrite    = "subscriptions:write"
	scopePolicies = "policies:read"
	scopeAdmin    = "admin"
	scopeRelease  = "owned:release" // may delete what the caller's own cluster owns (contract section 25)

	defaultPage = 100
	maxPage     = 1000
	maxOwner    = 512
)

// Service keeps subscriptions and answers polls (contract section 13). A subscription belongs to the identity
// that made it; to others it does not exist, but scope admin sees and deletes those of its tenant.
type Service struct {
	guard     *guard.Guard
	log       *Log
	receivers Receivers
}

// Receivers delivers subscriptions whose delivery is a webhook.
type Receivers interface {
	// Prepare checks and seals where a subscription is delivered to; put writes it in the subscription's transaction.
	Prepare(ctx context.Context, tenant, id string, d vaultapi.Delivery) (put func(*store.Tx) error, err error)
	// Remove ends the delivery of a subscription.
	Remove(tx *store.Tx, tenant, id string) error
}

// NewService answers from log; receivers may be nil where no subscription is delivered by webhook.
func NewService(g *guard.Guard, log *Log, receivers Receivers) *Service {
	return &Service{guard: g, log: log, receivers: receivers}
}

// Create makes a subscription whose cursor stands at the end of the log.
// Errors: validation_error, invalid_glob, insufficient_scope.
func (s *Service) Create(ctx context.Context, who guard.Caller, w vaultapi.SubscriptionWrite) (vaultapi.Subscription, error) {
	a := guard.Access{Action: "subscription_create", Scope: scopeWrite}
	id := newSubscriptionID()
	put, refused := s.prepared(ctx, who, a, id, &w.Delivery)
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.Subscription, error) {
		sub := subscription{
			tenant: who.Tenant, id: id, identityType: who.Type, identityID: who.ID, status: statusActive,
			owner: w.Owner, createdAt: c.Now().UnixMicro(), updatedAt: c.Now().UnixMicro(),
		}
		if w.Events == nil {
			w.Events = []string{}
		}
		p := vaultapi.SubscriptionPatch{Name: &w.Name, Paths: &w.Paths, Events: &w.Events, Delivery: &w.Delivery}
		if err := cmp.Or(sub.apply(p), refused); err != nil {
			return vaultapi.Subscription{}, err
		}
		if len(w.Owner) > maxOwner || strings.ContainsRune(w.Owner, 0) {
			return vaultapi.Subscription{}, fault.Validation(map[string]string{"owner": fmt.Sprintf("has at most %d bytes, none of them NUL", maxOwner)})
		}
		if err := s.placed(c, &sub); err != nil {
			return vaultapi.Subscription{}, err
		}
		if err := s.deliverTo(c, &sub, put); err != nil {
			return vaultapi.Subscription{}, err
		}
		c.Note("subscription_id", sub.id)
		return sub.wire(), cmp.Or(insertSubscription(c.Tx, sub), s.guard.DB.Notify(c.Tx, interestChannel))
	})
}

// placed sets the cursor of a new subscription, if its identity may have one more.
func (s *Service) placed(c *guard.Call, sub *subscription) error {
	var have int64
	err := c.Tx.QueryRow(`SELECT count(*), (SELECT COALESCE(MAX(position), 0) FROM event_heads WHERE tenant = $1)
FROM subscriptions WHERE tenant = $1 AND identity_id = $2 AND identity_type = $3`,
		sub.tenant, sub.identityID, sub.identityType).Scan(&have, &sub.acked)
	if err != nil {
		return fmt.Errorf("count subscriptions: %w", err)
	}
	if have >= MaxPerIdentity {
		return fault.Validation(map[string]string{"subscriptions": fmt.Sprintf("an identity has at most %d: delete those no longer used", MaxPerIdentity)})
	}
	return nil
}

// Get returns a subscription. Errors: subscription_not_found.
func (s *Service) Get(ctx context.Context, who guard.Caller, id string) (vaultapi.Subscription, error) {
	a := guard.Access{Action: "subscription_read", Scope: scopeRead, AltScopes: []string{scopeAdmin}, Target: id}
	return guard.Do(ctx, s.guard, who, a, func(*guard.Call) (vaultapi.Subscription, error) {
		sub, err := scanSubscription(s.guard.DB.QueryRow(ctx, selectSubscription, who.Tenant, id))
		sub, err = visible(who, sub, err)
		return sub.wire(), err
	})
}

// Filter selects subscriptions.
type Filter struct {
	Owner  string // of the object that asked for it
	Limit  int    // default 100, at most 1000
	Cursor string // as a page before gave it
}

// List returns the caller's subscriptions by id; with scope admin all of the tenant.
// Errors: invalid_cursor, validation_error.
func (s *Service) List(ctx context.Context, who guard.Caller, f Filter) (vaultapi.SubscriptionList, error) {
	a := guard.Access{Action: "subscription_list", Scope: scopeRead, AltScopes: []string{scopeAdmin}}
	return guard.Do(ctx, s.guard, who, a, func(*guard.Call) (vaultapi.SubscriptionList, error) {
		if err := f.check(); err != nil {
			return vaultapi.SubscriptionList{}, err
		}
		subs, err := s.list(ctx, who, f)
		if err != nil {
			return vaultapi.SubscriptionList{}, err
		}
		return page(subs, f.Limit), nil
	})
}

func (f *Filter) check() error {
	if f.Cursor != "" && !isSubscriptionID(f.Cursor) {
		return fault.Invalid(fault.CodeInvalidCursor, "the cursor is not one of this list: begin again without it")
	}
	if f.Limit == 0 {
		f.Limit = defaultPage
	}
	if f.Limit < 1 || f.Limit > maxPage {
		return fault.Validation(map[string]string{"limit": fmt.Sprintf("must be from 1 to %d", maxPage)})
	}
	return nil
}

func (s *Service) list(ctx context.Context, who guard.Caller, f Filter) ([]vaultapi.Subscription, error) {
	where := []string{"tenant = $1", "id > $2"}
	args := []any{who.Tenant, f.Cursor}
	narrow := func(column, value string) {
		args = append(args, value)
		where = append(where, fmt.Sprintf("%s = $%d", column, len(args)))
	}
	if !administers(who) {
		narrow("identity_id", who.ID)
		narrow("identity_type", who.Type)
	}
	if f.Owner != "" {
		narrow("owner", f.Owner)
	}
	args = append(args, f.Limit+1)
	rows, err := s.guard.DB.Query(ctx, fmt.Sprintf(`SELECT %s FROM subscriptions WHERE %s ORDER BY id LIMIT $%d`,
		subscriptionColumns, strings.Join(where, " AND "), len(args)), args...)
	if err != nil {
		return nil, fmt.Errorf("list subscriptions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := []vaultapi.Subscription{}
	for rows.Next() {
		sub, err := scanSubscription(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, sub.wire())
	}
	return all, rows.Err()
}

func page(all []vaultapi.Subscription, limit int) vaultapi.SubscriptionList {
	list := vaultapi.SubscriptionList{HasMore: len(all) > limit}
	if list.HasMore {
		all = all[:limit]
		list.Cursor = &all[limit-1].ID
	}
	list.Subscriptions, list.Data = all, all
	return list
}

// Patch changes the fields given; the cursor stays. Errors: subscription_not_found, validation_error, invalid_glob.
func (s *Service) Patch(ctx context.Context, who guard.Caller, id string, p vaultapi.SubscriptionPatch) (vaultapi.Subscription, error) {
	a := guard.Access{Action: "subscription_update", Scope: scopeWrite, Target: id}
	put, refused := s.prepared(ctx, who, a, id, p.Delivery)
	return guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.Subscription, error) {
		sub, err := scanSubscription(c.Tx.QueryRow(selectSubscription+s.guard.DB.ForUpdate(), who.Tenant, id))
		if sub, err = own(who, sub, err); err != nil {
			return vaultapi.Subscription{}, err
		}
		was := sub.delivery
		if err := cmp.Or(sub.apply(p), refused); err != nil {
			return vaultapi.Subscription{}, err
		}
		if was == deliveryWebhook && sub.delivery == deliveryPolling {
			if err := s.backToPolling(c, &sub); err != nil {
				return vaultapi.Subscription{}, err
			}
		}
		if err := s.deliverTo(c, &sub, put); err != nil {
			return vaultapi.Subscription{}, err
		}
		sub.updatedAt = c.Now().UnixMicro()
		return sub.wire(), cmp.Or(updateSubscription(c.Tx, sub), s.guard.DB.Notify(c.Tx, interestChannel))
	})
}

// Delete removes a subscription: the caller's own, with scope admin any of the tenant, with scope owned:release one
// that the caller's own cluster owns. Errors: subscription_not_found.
func (s *Service) Delete(ctx context.Context, who guard.Caller, id string) error {
	a := guard.Access{Action: "subscription_delete", Scope: scopeWrite, AltScopes: []string{scopeAdmin, scopeRelease}, Target: id}
	_, err := guard.Change(ctx, s.guard, who, a, func(c *guard.Call) (struct{}, error) {
		sub, err := scanSubscription(c.Tx.QueryRow(selectSubscription+s.guard.DB.ForUpdate(), who.Tenant, id))
		if err != nil {
			return struct{}{}, err
		}
		if !mayDelete(who, sub) {
			return struct{}{}, notFound()
		}
		if _, err := c.Tx.Exec(`DELETE FROM subscriptions WHERE tenant = $1 AND id = $2`, who.Tenant, id); err != nil {
			return struct{}{}, fmt.Errorf("delete subscription: %w", err)
		}
		if sub.delivery == deliveryWebhook {
			return struct{}{}, s.receivers.Remove(c.Tx, sub.tenant, sub.id)
		}
		return struct{}{}, s.guard.DB.Notify(c.Tx, interestChannel)
	})
	return err
}
