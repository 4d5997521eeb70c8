package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Patch changes the fields given of a webhook named by id or name. Deliveries that are pending are sent to the new
// URL and signed with the new secret. Enabling begins with the next event; what was pending goes on.
// Errors: webhook_not_found, webhook_exists, validation_error, invalid_duration.
func (s *Service) Patch(ctx context.Context, who guard.Caller, id string, p vaultapi.WebhookPatch) (vaultapi.Webhook, error) {
	a := guard.Access{Action: ActionUpdate, Scope: Scope, Target: id}
	next, invalid := s.nextSecret(ctx, who, a, id, p)
	return guard.Change(ctx, s.Guard, who, a, func(c *guard.Call) (vaultapi.Webhook, error) {
		if invalid != nil {
			return vaultapi.Webhook{}, invalid
		}
		w, err := scanWebhook(c.Tx.QueryRow(selectOne+s.DB.ForUpdate(), who.Tenant, id))
		if err != nil {
			return vaultapi.Webhook{}, err
		}
		w, err = s.change(c, w, p)
		if err != nil {
			return vaultapi.Webhook{}, err
		}
		if next != nil {
			if err := s.changeSecret(c, &w, *next); err != nil {
				return vaultapi.Webhook{}, err
			}
		}
		return w.wire(c.Now()), s.DB.Notify(c.Tx, wakeChannel)
	})
}

// change is a patch but for the secret.
func (s *Service) change(c *guard.Call, w webhook, p vaultapi.WebhookPatch) (webhook, error) {
	was := w.enabled
	if err := w.apply(p, s.Sender); err != nil {
		return w, err
	}
	if err := nameFree(c.Tx, w); err != nil {
		return w, err
	}
	w.updated = c.Now().UnixMicro()
	if !was && w.enabled {
		if err := s.resume(c.Tx, &w); err != nil {
			return w, err
		}
	}
	c.Note("webhook_id", w.id)
	return w, update(c.Tx, w)
}

// resume has a webhook that was disabled go on with the next event and with what was pending.
func (s *Service) resume(tx *store.Tx, w *webhook) (err error) {
	w.enabled, w.failures, w.troubled = true, 0, false
	if w.position, err = events.EndIn(tx, w.tenant); err != nil {
		return err
	}
	return s.Queue.Schedule(tx, kindDelivery, w.tenant, w.id, tx.Now())
}

// newSecret is a signing secret that takes the place of another.
type newSecret struct {
	sealedSecret
	webhook string
	overlap time.Duration
}

// nextSecret checks and seals the secret of a patch; nil if it has none.
func (s *Service) nextSecret(ctx context.Context, who guard.Caller, a guard.Access, id string, p vaultapi.WebhookPatch) (*newSecret, error) {
	if _, err := s.Guard.Check(ctx, who, a, 0); err != nil {
		return nil, err
	}
	if p.Secret == nil {
		if p.PreviousSecretTTL != "" {
			return nil, fault.Validation(map[string]string{"previous_secret_ttl": "belongs to a new secret: give it as well"})
		}
		return nil, nil //nolint:nilnil // a patch without a secret
	}
	broken := map[string]string{}
	checkSecret("secret", *p.Secret, broken)
	if err := refused(broken); err != nil {
		return nil, err
	}
	keep, err := overlap(p.PreviousSecretTTL)
	if err != nil {
		return nil, err
	}
	w, err := s.find(ctx, who.Tenant, id)
	if err != nil {
		return nil, err
	}
	secret, err := sealSecret(ctx, s.Keys, w.tenant, w.id, *p.Secret)
	return &newSecret{sealedSecret: secret, webhook: w.id, overlap: keep}, err
}

func (s *Service) changeSecret(c *guard.Call, w *webhook, next newSecret) error {
	if next.webhook != w.id {
		return notFound() // renamed meanwhile
	}
	until := c.Now().Add(next.overlap)
	if err := next.replace(c.Tx, s.Keys, w.id, until); err != nil {
		return err
	}
	c.Note("secret_changed", true)
	w.previousEnd = nil
	if next.overlap == 0 {
		return nil
	}
	end := until.UnixMicro()
	w.previousEnd = &end
	return s.Queue.Schedule(c.Tx, kindSecret, w.tenant, w.id, until)
}

// Delete removes a webhook named by id or name, with what was pending. Errors: webhook_not_found.
func (s *Service) Delete(ctx context.Context, who guard.Caller, id string) error {
	a := guard.Access{Action: ActionDelete, Scope: Scope, Target: id}
	_, err := guard.Change(ctx, s.Guard, who, a, func(c *guard.Call) (struct{}, error) {
		w, err := scanWebhook(c.Tx.QueryRow(selectOne+s.DB.ForUpdate(), who.Tenant, id))
		if err != nil {
			return struct{}{}, err
		}
		c.Note("webhook_id", w.id)
		return struct{}{}, s.Remove(c.Tx, w.tenant, w.id)
	})
	return err
}

// Remove removes a webhook, or the receiver of a subscription, if there is one. Its deliveries follow.
func (s *Service) Remove(tx *store.Tx, tenant, id string) error {
	for _, query := range []string{deleteWebhook, dropSecrets} {
		if _, err := tx.Exec(query, tenant, id); err != nil {
			return fmt.Errorf("delete webhook: %w", err)
		}
	}
	return cmp.Or(
		s.Queue.Cancel(tx, kindSecret, tenant, id),
		s.Queue.Schedule(tx, kindDelivery, tenant, id, tx.Now()), // its run removes what is left
		s.DB.Notify(tx, wakeChannel))
}

// Prepare checks and seals where a subscription is delivered to. put writes it in the transaction that makes or
// changes the subscription: a receiver of its own begins with the next event, one that was disabled is enabled again.
// Errors of put: validation_error where a receiver that is new has no secret.
func (s *Service) Prepare(ctx context.Context, tenant, id string, d vaultapi.Delivery) (put func(*store.Tx) error, err error) {
	broken := map[string]string{}
	checkURL("delivery.url", d.URL, s.Sender, broken)
	if d.Secret != "" {
		checkSecret("delivery.secret", d.Secret, broken)
	}
	if err := refused(broken); err != nil {
		return nil, err
	}
	var secret *sealedSecret
	if d.Secret != "" {
		sealed, err := sealSecret(ctx, s.Keys, tenant, id, d.Secret)
		if err != nil {
			return nil, err
		}
		secret = &sealed
	}
	w := webhook{tenant: tenant, id: id, name: id, subscription: true, url: d.URL, events: []string{}}
	return func(tx *store.Tx) error { return s.receive(tx, w, secret) }, nil
}

func (s *Service) receive(tx *store.Tx, w webhook, secret *sealedSecret) error {
	old, err := scanWebhook(tx.QueryRow(selectAny+s.DB.ForUpdate(), w.tenant, w.id))
	isNew := fault.Is(err, fault.CodeWebhookNotFound)
	if err != nil && !isNew {
		return err
	}
	if isNew && secret == nil {
		broken := map[string]string{}
		checkSecret("delivery.secret", "", broken)
		return refused(broken)
	}
	now := tx.Now()
	w.created, w.updated = now.UnixMicro(), now.UnixMicro()
	if isNew {
		w.enabled = true
		if w.position, err = events.EndIn(tx, w.tenant); err != nil {
			return err
		}
		return cmp.Or(insert(tx, w), secret.put(tx, s.Keys, w.id), s.DB.Notify(tx, wakeChannel))
	}
	w.enabled, w.position, w.failures, w.troubled = old.enabled, old.position, old.failures, old.troubled
	if !w.enabled {
		if err := s.resume(tx, &w); err != nil {
			return err
		}
	}
	if secret != nil {
		if err := secret.replace(tx, s.Keys, w.id, now); err != nil {
			return err
		}
	}
	return cmp.Or(update(tx, w), s.DB.Notify(tx, wakeChannel))
}
