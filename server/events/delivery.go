package events

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// prepared gets the delivery of a subscription ready that is one by webhook; put is nil otherwise.
func (s *Service) prepared(ctx context.Context, who guard.Caller, a guard.Access, id string, d *vaultapi.Delivery) (put func(*store.Tx) error, err error) {
	if d == nil || d.Type != deliveryWebhook {
		return nil, nil
	}
	if _, err := s.guard.Check(ctx, who, a, 0); err != nil {
		return nil, err
	}
	if who.HasRole(guard.RoleSuperAdmin) {
		return nil, fault.Validation(map[string]string{"delivery.type": "webhook deliveries are judged by policies, which a super_admin has none of: " +
			"make a webhook (POST /v1/webhooks) instead, or subscribe as an identity that holds list"})
	}
	return s.receivers.Prepare(ctx, who.Tenant, id, *d)
}

// deliverTo writes where a subscription is delivered to, and as whom it is judged.
func (s *Service) deliverTo(c *guard.Call, sub *subscription, put func(*store.Tx) error) error {
	if sub.delivery != deliveryWebhook {
		return nil
	}
	raw, err := json.Marshal(judgedOf(c.Who))
	if err != nil {
		return err
	}
	sub.judgedAs = string(raw)
	if put == nil {
		return nil
	}
	sub.status = statusActive
	return put(c.Tx)
}

// backToPolling has a subscription go on by polling from where its deliveries were made.
func (s *Service) backToPolling(c *guard.Call, sub *subscription) error {
	err := c.Tx.QueryRow(`SELECT COALESCE(MAX(position), 0) FROM webhooks WHERE tenant = $1 AND id = $2`, sub.tenant, sub.id).Scan(&sub.acked)
	if err != nil {
		return fmt.Errorf("cursor of subscription: %w", err)
	}
	sub.status = statusActive
	return s.receivers.Remove(c.Tx, sub.tenant, sub.id)
}

// polled returns s if it is the caller's own and he polls it.
func polled(who guard.Caller, s subscription, err error) (subscription, error) {
	if s, err = own(who, s, err); err != nil {
		return s, err
	}
	if s.delivery == deliveryWebhook {
		return s, fault.Validation(map[string]string{"delivery.type": "this subscription is delivered by webhook: patch its delivery to poll it"})
	}
	return s, nil
}

// judged is what is kept of the owner of a subscription, to judge its events when he is not there. Roles are not
// kept: they are not for an identity's absence.
type judged struct {
	Groups    []string `json:"groups,omitempty"`
	Scopes    []string `json:"scopes,omitempty"`
	Cluster   string   `json:"cluster,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
}

func judgedOf(who guard.Caller) judged {
	j := judged{Groups: who.Groups, Cluster: who.Cluster, Namespace: who.Namespace}
	if who.HasScope(scopePolicies) {
		j.Scopes = []string{scopePolicies}
	}
	return j
}

// Judge says which events a subscription gets at this moment: those it selects on paths that its owner may list,
// judged without address, second factor or role, because nobody calls. Make it with NewJudge.
type Judge struct{ guard *guard.Guard }

// NewJudge judges by the policies of g.
func NewJudge(g *guard.Guard) *Judge { return &Judge{guard: g} }

// Judge implements webhooks.Subscriptions. It is called after the events were read, so that a permission taken away
// before they happened is gone. Errors: subscription_not_found.
func (j *Judge) Judge(ctx context.Context, tenant, id string) (func(Entry) bool, error) {
	sub, err := scanSubscription(j.guard.DB.QueryRow(ctx, selectSubscription, tenant, id))
	if err != nil {
		return nil, err
	}
	var as judged
	if err := json.Unmarshal([]byte(sub.judgedAs), &as); err != nil {
		return nil, fmt.Errorf("owner of subscription %s: %w", sub.id, err)
	}
	who := guard.Caller{
		Tenant: sub.tenant, Type: sub.identityType, ID: sub.identityID, Groups: as.Groups, Scopes: as.Scopes,
		Cluster: as.Cluster, Namespace: as.Namespace,
	}
	sel, err := sub.selection(who.Namespace)
	if err != nil {
		return nil, err
	}
	allowed, _, err := j.guard.Allowed(ctx, who, policy.List, policy.ClassSecrets)
	if err != nil {
		return nil, err
	}
	f := filter{selection: sel, allowed: allowed, policies: who.HasScope(scopePolicies)}
	return func(e Entry) bool { return f.passes(entry{eventType: e.Type, path: e.Path}) }, nil
}
