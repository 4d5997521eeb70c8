package rotation

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// settings are a policy as people wrote it, without name, owner and is_active.
type settings = vaultapi.RotationPolicyWrite

const (
	maxDescription = 1024
	maxWebhooks    = 16
	maxThresholds  = 16
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)

// isName reports whether s can be a policy's name, or its id.
func isName(s string) bool { return namePattern.MatchString(s) && s != "." && s != ".." }

// isOwnID reports whether a name could be taken for a policy's id.
func isOwnID(name string) bool {
	return len(name) == len(policyPrefix)+idLength && strings.HasPrefix(name, policyPrefix)
}

// checkSettings checks all of a policy: 400 invalid_duration where a duration does not parse, else 422
// validation_error that names each field and the rule that it breaks.
func checkSettings(name string, w settings, now time.Time) error {
	fields := map[string]string{}
	switch {
	case !isName(name):
		fields["name"] = "1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not . or .."
	case isOwnID(name):
		fields["name"] = "must not look like a rotation policy's id"
	}
	if len(w.Description) > maxDescription || strings.Contains(w.Description, "\x00") {
		fields["description"] = fmt.Sprintf("at most %d bytes, none of them NUL", maxDescription)
	}
	checkWebhooks(w.WebhookIDs, fields)
	checkRecipe(w, fields)
	if len(w.WarnBefore.List()) > maxThresholds {
		fields["warn_before"] = fmt.Sprintf("at most %d thresholds", maxThresholds)
	}
	_, err := schedule.Read(scheduleText(w, now))
	var unread *schedule.DurationError
	if errors.As(err, &unread) {
		return invalidDuration(err)
	}
	addBroken(err, fields)
	if len(fields) == 0 {
		return nil
	}
	return fault.Validation(fields)
}

func checkWebhooks(ids []string, fields map[string]string) {
	if len(ids) > maxWebhooks {
		fields["webhook_ids"] = fmt.Sprintf("at most %d", maxWebhooks)
	}
	for i, id := range ids {
		if !isName(id) || !strings.HasPrefix(id, "wh_") {
			fields[fmt.Sprintf("webhook_ids[%d]", i)] = "must be the id of a webhook, such as wh_…"
		}
	}
}

func checkRecipe(w settings, fields map[string]string) {
	switch {
	case !w.AutoGenerate && w.SecretPolicyID != "":
		fields["secret_policy_id"] = "is how values are generated: set auto_generate, or leave it out"
	case !w.AutoGenerate && w.Generate != nil:
		fields["generate"] = "is how values are generated: set auto_generate, or leave it out"
	case w.SecretPolicyID != "" && w.Generate != nil:
		fields["generate"] = "and secret_policy_id exclude one another: give one of them"
	case w.Generate != nil:
		_, err := parseRecipe(w.Generate)
		var bad *generate.Invalid
		if errors.As(err, &bad) {
			for where, rule := range bad.Fields {
				fields["generate."+where] = rule
			}
		}
		for i, f := range w.Generate.Fields {
			if f.Generator == "static" { // policies are kept as they are written, and answered
				fields[fmt.Sprintf("generate.fields[%d].generator", i)] = "a static value is kept only in a secret policy: name one by secret_policy_id"
			}
		}
	}
}

// addBroken sorts out what schedule.Read joined.
func addBroken(err error, fields map[string]string) {
	var field *schedule.FieldError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, one := range joined.Unwrap() {
			addBroken(one, fields)
		}
	} else if errors.As(err, &field) {
		fields[field.Field] = field.Rule
	}
}

func invalidDuration(err error) error {
	var field *schedule.FieldError
	errors.As(err, &field)
	return fault.Invalid(fault.CodeInvalidDuration, "%s is not a duration such as 12h or 90d", field.Field).With("field", field.Field)
}

func scheduleText(w settings, now time.Time) schedule.Text {
	return schedule.Text{
		Interval: w.Interval, Cron: w.Cron, TimeZone: w.TimeZone, Window: w.Window, Spread: w.Spread,
		GracePeriod: w.GracePeriod, Hold: w.GraceHold, WarnBefore: w.WarnBefore.List(), From: now,
	}
}

func parseRecipe(r *vaultapi.RotationRecipe) (generate.Recipe, error) {
	fields := make([]generate.Field, len(r.Fields))
	for i, f := range r.Fields {
		fields[i] = generate.Field{Name: f.Name, Generator: f.Generator, Config: func() json.RawMessage { return f.Config }}
	}
	return generate.Parse(fields)
}

// plans keeps the schedules of policies as they were read last: reading one costs as much as a rotation.
type plans struct {
	mu    sync.Mutex
	known map[planKey]knownPlan
}

type planKey struct{ tenant, id string }

type knownPlan struct {
	updated int64
	plan    schedule.Plan
}

const mostPlans = 10_000

// of gives the schedule of a policy.
func (k *plans) of(tenant string, p policy) (schedule.Plan, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key := planKey{tenant, p.id}
	if known, ok := k.known[key]; ok && known.updated == p.updated {
		return known.plan, nil
	}
	plan, err := schedule.Read(scheduleText(p.settings, time.UnixMicro(p.updated)))
	if err != nil {
		return schedule.Plan{}, fmt.Errorf("schedule of rotation policy %s: %w", p.id, err)
	}
	if len(k.known) >= mostPlans {
		clear(k.known)
	}
	k.known[key] = knownPlan{p.updated, plan}
	return plan, nil
}

// wire is the policy as it is answered.
func (p policy) wire(plan schedule.Plan) vaultapi.RotationPolicy {
	w := p.settings
	out := vaultapi.RotationPolicy{
		ID: p.id, Name: p.name, Description: w.Description,
		Interval: w.Interval, IntervalSeconds: seconds(plan.Interval), Cron: w.Cron, TimeZone: w.TimeZone,
		Window: w.Window, WindowSeconds: seconds(plan.Window), Spread: w.Spread, SpreadSeconds: seconds(plan.Spread),
		GracePeriod: cmp.Or(w.GracePeriod, defaultGraceText), GracePeriodSeconds: seconds(plan.Grace),
		GraceHold: w.GraceHold, WarnBefore: w.WarnBefore, AutoGenerate: w.AutoGenerate, Generate: w.Generate,
		WebhookIDs: w.WebhookIDs, Owner: p.owner, IsActive: p.active, SecretsCount: p.secrets, FailedCount: p.failed,
		CreatedAt: vaultapi.AtMicros(p.created), UpdatedAt: vaultapi.AtMicros(p.updated),
	}
	if w.GraceHold != "" {
		out.GraceHoldSeconds = seconds(plan.Hold)
	}
	if w.Cron != "" {
		out.TimeZone = cmp.Or(w.TimeZone, "UTC")
	}
	if w.SecretPolicyID != "" {
		out.SecretPolicyID = &w.SecretPolicyID
	}
	if out.WebhookIDs == nil {
		out.WebhookIDs = []string{}
	}
	return out
}

const defaultGraceText = "48h" // schedule.DefaultGrace

func seconds(d time.Duration) int64 { return int64(d / time.Second) }
