package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// Scope and audit actions of webhooks.
const (
	Scope            = "admin"
	ActionList       = "webhook_list"
	ActionCreate     = "webhook_create"
	ActionRead       = "webhook_read"
	ActionUpdate     = "webhook_update"
	ActionDelete     = "webhook_delete"
	ActionTest       = "webhook_test"
	ActionDeliveries = "webhook_delivery_list"
	ActionDisable    = "webhook_disable" // by the server, after too many failures

	// MaxPerTenant bounds the webhooks of a tenant.
	MaxPerTenant = 500

	defaultPage = 100
	maxPage     = 1000

	// wakeChannel tells dispatchers of every replica that webhooks changed.
	wakeChannel = "scaivault_webhooks"
)

// URLs says what may be called.
type URLs interface{ CheckURL(raw string) error }

// Sender calls receivers.
type Sender interface {
	URLs
	Post(ctx context.Context, to string, header http.Header, body []byte) (status int, err error)
}

// Subscriptions judges what a subscription with webhook delivery gets at this moment.
type Subscriptions interface {
	Judge(ctx context.Context, tenant, id string) (func(events.Entry) bool, error)
}

// Secrets knows what filters ask of a secret; found is false for one that no longer exists.
type Secrets interface {
	Labels(ctx context.Context, tenant, path string) (secretType string, tags []string, found bool, err error)
}

// Deps are what webhooks stand on. All but Log and Jitter are required.
type Deps struct {
	DB            *store.DB
	Guard         *guard.Guard
	Keys          *seal.Keyring
	Events        *events.Log
	Queue         *jobs.Queue
	Sender        Sender
	Subscriptions Subscriptions
	Secrets       Secrets
	Log           *slog.Logger   // nil discards
	Jitter        func() float64 // of retries, from [0, 1); nil: random
}

// Service keeps webhooks and delivers to them. Make it with New before the queue runs; then Run it.
type Service struct {
	Deps
	flights flights
	metrics *metrics
}

// New makes the service and registers its kinds of jobs with the queue.
func New(d Deps) *Service {
	if d.Log == nil {
		d.Log = slog.New(slog.DiscardHandler)
	}
	if d.Jitter == nil {
		d.Jitter = rand.Float64
	}
	s := &Service{Deps: d, flights: flights{of: map[ref]*flight{}}, metrics: newMetrics()}
	for _, k := range s.kinds() {
		d.Queue.Register(k)
	}
	return s
}

func (s *Service) now() time.Time { return s.DB.Now() }

// Create makes a webhook whose cursor stands at the end of the log. The URL is not tried.
// Errors: validation_error, webhook_exists, insufficient_scope.
func (s *Service) Create(ctx context.Context, who guard.Caller, in vaultapi.WebhookWrite) (vaultapi.Webhook, error) {
	a := guard.Access{Action: ActionCreate, Scope: Scope}
	w, secret, invalid := s.draft(ctx, who, a, in)
	return guard.Change(ctx, s.Guard, who, a, func(c *guard.Call) (vaultapi.Webhook, error) {
		if invalid != nil {
			return vaultapi.Webhook{}, invalid
		}
		w.created, w.updated = c.Now().UnixMicro(), c.Now().UnixMicro()
		if err := s.place(c, &w); err != nil {
			return vaultapi.Webhook{}, err
		}
		c.Note("webhook_id", w.id)
		c.Note("webhook_name", w.name)
		if err := cmp.Or(insert(c.Tx, w), secret.put(c.Tx, s.Keys, w.id), s.DB.Notify(c.Tx, wakeChannel)); err != nil {
			return vaultapi.Webhook{}, err
		}
		return w.wire(c.Now()), nil
	})
}

// draft checks what was asked and seals the secret, without work for those who may not make a webhook.
func (s *Service) draft(ctx context.Context, who guard.Caller, a guard.Access, in vaultapi.WebhookWrite) (webhook, sealedSecret, error) {
	if _, err := s.Guard.Check(ctx, who, a, 0); err != nil {
		return webhook{}, sealedSecret{}, err
	}
	w := webhook{tenant: who.Tenant, id: events.NewRandomID(idPrefix), enabled: true, events: []string{}}
	p := vaultapi.WebhookPatch{Name: &in.Name, URL: &in.URL, Events: &in.Events, Filters: in.Filters, Enabled: in.Enabled}
	broken := map[string]string{}
	checkSecret("secret", in.Secret, broken)
	if err := w.apply(p, s.Sender); err != nil {
		return webhook{}, sealedSecret{}, err
	}
	if err := refused(broken); err != nil {
		return webhook{}, sealedSecret{}, err
	}
	secret, err := sealSecret(ctx, s.Keys, w.tenant, w.id, in.Secret)
	return w, secret, err
}

// place sets the cursor of a new webhook, if its name is free and the tenant may have one more.
func (s *Service) place(c *guard.Call, w *webhook) error {
	if err := nameFree(c.Tx, *w); err != nil {
		return err
	}
	var have int64
	if err := c.Tx.QueryRow(`SELECT COUNT(*) FROM webhooks WHERE tenant = $1 AND subscription = 0`, w.tenant).Scan(&have); err != nil {
		return fmt.Errorf("count webhooks: %w", err)
	}
	if have >= MaxPerTenant {
		return fault.Validation(map[string]string{"webhooks": fmt.Sprintf("a tenant has at most %d: delete those no longer used", MaxPerTenant)})
	}
	var err error
	w.position, err = events.EndIn(c.Tx, w.tenant)
	return err
}

// nameFree refuses a name that another webhook of the tenant has.
func nameFree(tx *store.Tx, w webhook) error {
	other, err := scanWebhook(tx.QueryRow(selectOne, w.tenant, w.name))
	switch {
	case fault.Is(err, fault.CodeWebhookNotFound), err == nil && other.id == w.id:
		return nil
	case err != nil:
		return err
	}
	return fault.Conflict(fault.CodeWebhookExists, "there is a webhook %s already: change it, or choose another name", w.name).
		With("webhook_id", other.id)
}

// Get returns a webhook by id or name, with its statistics and its last delivery. Errors: webhook_not_found.
func (s *Service) Get(ctx context.Context, who guard.Caller, id string) (vaultapi.Webhook, error) {
	a := guard.Access{Action: ActionRead, Scope: Scope, Target: id}
	return guard.Do(ctx, s.Guard, who, a, func(c *guard.Call) (vaultapi.Webhook, error) {
		w, err := s.find(ctx, who.Tenant, id)
		if err != nil {
			return vaultapi.Webhook{}, err
		}
		out := w.wire(c.Now())
		if out.Statistics, err = s.statistics(ctx, w, c.Now()); err != nil {
			return vaultapi.Webhook{}, err
		}
		out.LastDelivery, err = s.last(ctx, w)
		return out, err
	})
}

func (s *Service) find(ctx context.Context, tenant, id string) (webhook, error) {
	if !namePattern.MatchString(id) {
		return webhook{}, notFound()
	}
	return scanWebhook(s.DB.QueryRow(ctx, selectOne, tenant, id))
}

// List returns a page of the tenant's webhooks by id. Errors: invalid_cursor, validation_error.
func (s *Service) List(ctx context.Context, who guard.Caller, limit int, cursor string) (vaultapi.WebhookList, error) {
	return guard.Do(ctx, s.Guard, who, guard.Access{Action: ActionList, Scope: Scope}, func(c *guard.Call) (vaultapi.WebhookList, error) {
		var list vaultapi.WebhookList
		if cursor != "" && !events.IsRandomID(idPrefix, cursor) {
			return list, badCursor()
		}
		size, err := pageSize(limit)
		if err != nil {
			return list, err
		}
		found, err := scanWebhooks(s.DB.Query(ctx, selectPage, who.Tenant, cursor, size+1))
		if err != nil {
			return list, err
		}
		if list.HasMore = len(found) > size; list.HasMore {
			found = found[:size]
			list.Cursor = &found[size-1].id
		}
		list.Webhooks = make([]vaultapi.Webhook, len(found))
		for i, w := range found {
			list.Webhooks[i] = w.wire(c.Now())
		}
		list.Data = list.Webhooks
		return list, nil
	})
}

func badCursor() error {
	return fault.Invalid(fault.CodeInvalidCursor, "the cursor is not one of this list: begin again without it")
}

func pageSize(limit int) (int, error) {
	if limit == 0 {
		limit = defaultPage
	}
	if limit < 1 || limit > maxPage {
		return 0, fault.Validation(map[string]string{"limit": fmt.Sprintf("must be from 1 to %d", maxPage)})
	}
	return limit, nil
}
