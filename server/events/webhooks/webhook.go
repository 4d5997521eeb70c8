package webhooks

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
)

const (
	idPrefix       = "wh_"
	deliveryPrefix = "del_"
	eventPrefix    = "evt_"

	statusHealthy  = "healthy"
	statusDegraded = "degraded" // the last attempt failed
	statusDisabled = "disabled"

	maxSecret   = 1024
	maxPrefix   = 1024
	maxType     = 64
	maxTags     = 64
	maxTag      = 128
	maxOverlap  = 30 * 24 * time.Hour
	nameGrammar = "1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not . or .."
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)

// webhook is a row; times are microseconds.
type webhook struct {
	tenant, id, name    string
	subscription        bool // it delivers for the subscription of this id
	url                 string
	events              []string
	filters             vaultapi.WebhookFilters
	enabled             bool
	position, revision  int64
	failures, lost      int64
	troubled            bool
	lostAt, previousEnd *int64
	created, updated    int64
}

func (w webhook) status() string {
	switch {
	case !w.enabled:
		return statusDisabled
	case w.troubled:
		return statusDegraded
	}
	return statusHealthy
}

func (w webhook) wire(now time.Time) vaultapi.Webhook {
	out := vaultapi.Webhook{
		ID: w.id, Name: w.name, URL: w.url, Events: w.events, Filters: w.filters, Enabled: w.enabled, Status: w.status(),
		ConsecutiveFailures: w.failures, EventsLost: w.lost, EventsLostAt: vaultapi.MaybeAt(w.lostAt),
		CreatedAt: vaultapi.AtMicros(w.created), UpdatedAt: vaultapi.AtMicros(w.updated),
	}
	if w.previousEnd != nil && *w.previousEnd > now.UnixMicro() {
		out.PreviousSecretExpiresAt = vaultapi.MaybeAt(w.previousEnd)
	}
	return out
}

// apply puts the fields given into w, or says which break which rules. The secret is not among them.
func (w *webhook) apply(p vaultapi.WebhookPatch, urls URLs) error {
	broken := map[string]string{}
	if p.Name != nil {
		w.name = *p.Name
		checkName(w.name, broken)
	}
	if p.URL != nil {
		w.url = *p.URL
		checkURL("url", w.url, urls, broken)
	}
	if p.Events != nil {
		w.events = append([]string{}, *p.Events...)
		events.CheckSelection(w.events, broken)
	}
	if p.Filters != nil {
		w.filters = *p.Filters
		checkFilters(w.filters, broken)
	}
	if p.Enabled != nil {
		w.enabled = *p.Enabled
	}
	return refused(broken)
}

func refused(broken map[string]string) error {
	if len(broken) > 0 {
		return fault.Validation(broken)
	}
	return nil
}

// checkName keeps names apart from ids, because either is accepted in a URL.
func checkName(name string, broken map[string]string) {
	switch {
	case !namePattern.MatchString(name) || name == "." || name == "..":
		broken["name"] = nameGrammar
	case strings.HasPrefix(name, idPrefix) || strings.HasPrefix(name, "sub_"):
		broken["name"] = "must not begin like an id"
	}
}

func checkURL(field, url string, urls URLs, broken map[string]string) {
	if url == "" {
		broken[field] = "is required: where events are sent to, such as https://receiver.example.org/hook"
		return
	}
	if err := urls.CheckURL(url); err != nil {
		broken[field] = err.Error()
	}
}

func checkFilters(f vaultapi.WebhookFilters, broken map[string]string) {
	if len(f.PathPrefix) > maxPrefix || !isText(f.PathPrefix) {
		broken["filters.path_prefix"] = fmt.Sprintf("has at most %d bytes of text", maxPrefix)
	}
	if strings.HasPrefix(f.PathPrefix, "/") || strings.Contains(f.PathPrefix, "*") {
		broken["filters.path_prefix"] = "is how a path begins, without a leading slash and without *"
	}
	if len(f.SecretType) > maxType || !isText(f.SecretType) {
		broken["filters.secret_type"] = fmt.Sprintf("has at most %d bytes of text", maxType)
	}
	if len(f.Tags) > maxTags {
		broken["filters.tags"] = fmt.Sprintf("has at most %d tags", maxTags)
	}
	for i, tag := range f.Tags {
		if tag == "" || len(tag) > maxTag || !isText(tag) {
			broken[fmt.Sprintf("filters.tags[%d]", i)] = fmt.Sprintf("has 1 to %d bytes of text", maxTag)
		}
	}
}

// checkSecret never repeats what it was given.
func checkSecret(field string, s vaultapi.SigningSecret, broken map[string]string) {
	if n := len(s.Reveal()); n == 0 || n > maxSecret {
		broken[field] = fmt.Sprintf("is required, 1 to %d bytes: receivers check signatures with it; take 32 random bytes or more", maxSecret)
	}
}

// overlap is how long the secret before a new one is kept.
func overlap(ttl string) (time.Duration, error) {
	if ttl == "" || ttl == "0s" {
		return 0, nil
	}
	d, err := schedule.ParseDuration(ttl)
	if err != nil {
		return 0, fault.Invalid(fault.CodeInvalidDuration, "previous_secret_ttl: %v", err).With("field", "previous_secret_ttl")
	}
	if d > maxOverlap {
		return 0, fault.Validation(map[string]string{"previous_secret_ttl": "is at most 30d"})
	}
	return d, nil
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

// wants tells whether w selects an event by its name, its path, or because it was sent to w. needLabels says that
// type and tags of the secret decide the rest.
func (w webhook) wants(e events.Entry) (wanted, needLabels bool) {
	if slices.Contains(e.To, w.id) {
		return true, false
	}
	f := w.filters
	if !events.Selects(w.events, e.Type) || !strings.HasPrefix(e.Path, f.PathPrefix) {
		return false, false
	}
	return true, f.SecretType != "" || len(f.Tags) > 0
}

// Labels are what filters ask of a secret.
type Labels struct {
	SecretType string
	Tags       []string
}

func (w webhook) fits(l Labels) bool {
	f := w.filters
	if f.SecretType != "" && f.SecretType != l.SecretType {
		return false
	}
	return len(f.Tags) == 0 || slices.ContainsFunc(f.Tags, func(tag string) bool { return slices.Contains(l.Tags, tag) })
}
