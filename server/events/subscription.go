package events

import (
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// Limits of subscriptions.
const (
	MaxPerIdentity    = 100
	maxName           = 128
	maxPatterns       = 64
	maxEventNames     = 64
	DefaultBufferSize = 1000
	MaxBufferSize     = 100_000
)

const (
	deliveryPolling = "polling"
	deliveryWebhook = "webhook"
	statusActive    = "active"
)

// subscription is a cursor over the event log of its tenant and what it selects.
type subscription struct {
	tenant, id, name         string
	identityType, identityID string
	paths, events            []string
	delivery                 string // polling | webhook
	bufferSize               int64
	acked                    int64
	owner                    string
	createdAt, updatedAt     int64

	judgedAs    string // of webhook delivery: the owner as JSON
	url, status string // of webhook delivery: as its receiver's row says
}

func (s subscription) wire() vaultapi.Subscription {
	out := vaultapi.Subscription{
		ID: s.id, Name: s.name, Status: s.status, IdentityID: s.identityID, Paths: s.paths, Events: s.events,
		Owner: s.owner, CreatedAt: vaultapi.AtMicros(s.createdAt), UpdatedAt: vaultapi.AtMicros(s.updatedAt),
	}
	out.Delivery = vaultapi.Delivery{Type: deliveryPolling, BufferSize: s.bufferSize}
	if s.delivery == deliveryWebhook {
		out.Delivery = vaultapi.Delivery{Type: deliveryWebhook, URL: s.url}
	}
	return out
}

// selection is what a subscription asks for, ready to match.
type selection struct {
	patterns  []policy.Pattern
	events    []string
	namespace string
}

func (s subscription) selection(namespace string) (selection, error) {
	sel := selection{events: s.events, namespace: namespace}
	for _, p := range s.paths {
		pattern, err := policy.ParsePattern(p)
		if err != nil {
			return selection{}, fmt.Errorf("subscription %s: %w", s.id, err)
		}
		sel.patterns = append(sel.patterns, pattern)
	}
	return sel, nil
}

// wants tells whether an event is asked for. Paths do not narrow events that have none.
func (s selection) wants(eventType, path string) bool {
	named := Selects(s.events, eventType) || len(s.events) == 0 && !loud(eventType)
	if !named || path == "" {
		return named
	}
	for _, p := range s.patterns {
		if p.Match(path, s.namespace) {
			return true
		}
	}
	return false
}

// apply puts what was asked into s, or says which fields break which rules.
func (s *subscription) apply(p vaultapi.SubscriptionPatch) error {
	broken := map[string]string{}
	if p.Name != nil {
		s.name = *p.Name
		note(broken, "name", checkName(s.name))
	}
	if p.Paths != nil {
		s.paths = *p.Paths
		if err := checkPaths(s.paths, broken); err != nil {
			return err
		}
	}
	if p.Events != nil {
		s.events = append([]string{}, *p.Events...)
		CheckSelection(s.events, broken)
	}
	if p.Delivery != nil {
		s.applyDelivery(*p.Delivery, broken)
	}
	if len(broken) > 0 {
		return fault.Validation(broken)
	}
	return nil
}

// applyDelivery checks all of a delivery but the URL and the secret, which whoever delivers checks.
func (s *subscription) applyDelivery(d vaultapi.Delivery, broken map[string]string) {
	note(broken, "delivery.type", checkDelivery(d.Type))
	s.delivery, s.bufferSize = deliveryPolling, d.BufferSize
	if s.bufferSize == 0 {
		s.bufferSize = DefaultBufferSize
	}
	if s.bufferSize < 1 || s.bufferSize > MaxBufferSize {
		broken["delivery.buffer_size"] = fmt.Sprintf("must be from 1 to %d", MaxBufferSize)
	}
	if d.Type == deliveryWebhook {
		s.delivery, s.url = deliveryWebhook, d.URL
		return
	}
	s.url, s.judgedAs = "", ""
	if d.URL != "" {
		broken["delivery.url"] = "belongs to delivery.type webhook"
	}
	if d.Secret != "" {
		broken["delivery.secret"] = "belongs to delivery.type webhook"
	}
}

func note(broken map[string]string, field, rule string) {
	if rule != "" {
		broken[field] = rule
	}
}

func checkName(name string) string {
	switch {
	case name == "":
		return "is required"
	case len(name) > maxName:
		return fmt.Sprintf("has at most %d bytes", maxName)
	case !utf8.ValidString(name) || strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "must be printable text"
	case strings.TrimSpace(name) != name:
		return "must not begin or end with a blank"
	}
	return ""
}

func checkDelivery(kind string) string {
	switch kind {
	case deliveryPolling, deliveryWebhook, "":
		return ""
	}
	return "must be polling or webhook"
}

// checkPaths answers a bad glob with a code of its own (contract section 5.2).
func checkPaths(paths []string, broken map[string]string) error {
	if len(paths) == 0 || len(paths) > maxPatterns {
		broken["paths"] = fmt.Sprintf("needs 1 to %d globs", maxPatterns)
		return nil
	}
	for i, text := range paths {
		pattern, err := policy.ParsePattern(text)
		var bad *policy.PatternError
		if errors.As(err, &bad) {
			return fault.Invalid(fault.CodeInvalidGlob, "paths[%d]: %s", i, bad.Rule).With("position", bad.Position)
		}
		if err != nil {
			return fmt.Errorf("paths[%d]: %w", i, err)
		}
		if pattern.Class() != policy.ClassSecrets {
			broken[fmt.Sprintf("paths[%d]", i)] = "subscriptions follow paths of secrets, written without a class"
		}
	}
	return nil
}
