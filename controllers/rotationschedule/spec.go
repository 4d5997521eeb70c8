package rotationschedule

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/internal/schedule"
)

const (
	defaultPeriod   = schedule.DefaultGrace
	defaultDeadline = 7 * 24 * time.Hour

	// slotsLooked is how many times of cron are looked at to see how far they are apart.
	slotsLooked = 60
)

// Check lists what is wrong with a spec beyond its schema. Admission asks the same. from is a time from which the times
// of a cron are looked at.
func Check(spec *v1alpha1.RotationScheduleSpec, from time.Time) field.ErrorList {
	wrong := checkPattern(string(spec.Secrets.PathPattern))
	wrong = append(wrong, checkTimes(spec, from)...)
	if g := spec.Grace; g != nil && g.Deadline != "" && length(g.Deadline) < period(spec) {
		wrong = append(wrong, invalid("grace.deadline", "must not be shorter than grace.period"))
	}
	return append(wrong, checkRecipe(spec.Generate)...)
}

func invalid(at, why string) *field.Error {
	return field.Invalid(field.NewPath("spec."+at), field.OmitValueType{}, why)
}

func checkPattern(text string) field.ErrorList {
	if text == "" {
		return nil
	}
	p, err := policy.ParsePattern(text)
	if err == nil && p.Class() != policy.ClassSecrets {
		err = fmt.Errorf("only secrets of the tenant can be rotated; leave %s: out", p.Class())
	}
	if err != nil {
		return field.ErrorList{invalid("secrets.pathPattern", err.Error())}
	}
	return nil
}

// checkTimes asks the vault's own judge.
func checkTimes(spec *v1alpha1.RotationScheduleSpec, from time.Time) (wrong field.ErrorList) {
	t := schedule.Text{
		Interval: string(spec.When.Every), Cron: spec.When.Cron, TimeZone: spec.When.TimeZone,
		Window: string(spec.When.Window), Spread: string(spec.When.Spread), From: from,
	}
	if g := spec.Grace; g != nil {
		t.GracePeriod, t.Hold = string(g.Period), string(g.Deadline)
	}
	for _, w := range spec.WarnBefore {
		t.WarnBefore = append(t.WarnBefore, string(w))
	}
	_, err := schedule.Read(t)
	joined, many := err.(interface{ Unwrap() []error })
	if !many {
		return nil
	}
	for _, e := range joined.Unwrap() {
		var f *schedule.FieldError
		if errors.As(e, &f) && (f.Field != "grace_hold" || t.Hold != "") { // the period's error says it
			wrong = append(wrong, invalid(place(f.Field), f.Rule))
		}
	}
	return wrong
}

// place is where a field of the wire stands in a spec.
func place(wire string) string {
	at := map[string]string{
		"interval": "when.every", "cron": "when.cron", "time_zone": "when.timeZone", "window": "when.window", "spread": "when.spread",
		"grace_period": "grace.period", "grace_hold": "grace.deadline", "warn_before": "warnBefore",
	}
	return at[wire]
}

// length is a duration that was checked; 0 if it is absent.
func length(text v1alpha1.Duration) time.Duration {
	d, err := schedule.ParseDuration(string(text))
	if err != nil {
		return 0
	}
	return d
}

func period(spec *v1alpha1.RotationScheduleSpec) time.Duration {
	if spec.Grace == nil || spec.Grace.Period == "" {
		return defaultPeriod
	}
	return length(spec.Grace.Period)
}

// deadline is the longest that an old version is kept for its consumers; 0 if nobody waits for them. The default is
// never so long that the next rotation comes first.
func deadline(spec *v1alpha1.RotationScheduleSpec, from time.Time) time.Duration {
	if !waits(spec) {
		return 0
	}
	if spec.Grace.Deadline != "" {
		return length(spec.Grace.Deadline)
	}
	d := defaultDeadline
	if every := between(spec.When, from); every > 0 {
		d = min(d, (every / 2).Truncate(time.Second))
	}
	return max(d, period(spec))
}

// between is the least time between two rotations of a secret; 0 if it is not known.
func between(w v1alpha1.RotationTimes, from time.Time) time.Duration {
	if w.Cron == "" {
		return length(w.Every)
	}
	cron, err := schedule.ParseCron(w.Cron, w.TimeZone)
	if err != nil {
		return 0
	}
	least, at := time.Duration(0), cron.Next(from)
	for range slotsLooked {
		next := cron.Next(at)
		if gap := next.Sub(at); least == 0 || gap < least {
			least = gap
		}
		at = next
	}
	return least
}

func waits(spec *v1alpha1.RotationScheduleSpec) bool {
	return spec.Grace != nil && spec.Grace.WaitForConsumers
}

// pattern is the pattern of an object with its namespace put in; nil if it has none.
func pattern(obj *v1alpha1.RotationSchedule) (*policy.Pattern, error) {
	text := string(obj.Spec.Secrets.PathPattern)
	if text == "" {
		return nil, nil
	}
	p, err := policy.ParsePattern(strings.ReplaceAll(text, "{namespace}", obj.Namespace))
	return &p, err
}

// literal is the part of a pattern below which all that it covers lies: up to the last slash before the first
// character that stands for others.
func literal(pattern string) string {
	if i := strings.IndexAny(pattern, "*?"); i >= 0 {
		pattern = pattern[:i]
	}
	return pattern[:strings.LastIndexByte(pattern, '/')+1]
}

// checkRecipe asks the vault's own generators.
func checkRecipe(g *v1alpha1.Generation) (wrong field.ErrorList) {
	r, err := recipe(g)
	if err != nil {
		return field.ErrorList{invalid("generate", err.Error())}
	}
	if r == nil {
		return nil
	}
	var fields []generate.Field
	for _, f := range r.Fields {
		fields = append(fields, generate.Field{Name: f.Name, Generator: f.Generator, Config: func() json.RawMessage { return f.Config }})
	}
	_, err = generate.Parse(fields)
	var bad *generate.Invalid
	if !errors.As(err, &bad) {
		return nil
	}
	for _, at := range slices.Sorted(maps.Keys(bad.Fields)) {
		wrong = append(wrong, invalid("generate."+generated(at), bad.Fields[at]))
	}
	return wrong
}

// generated is where a place in a recipe of the wire stands below spec.generate.
func generated(at string) string {
	at = strings.Replace(at, ".config", "", 1)
	for _, kind := range []string{"_upper", "_lower", "_digit", "_symbol"} { // of require
		at = strings.TrimSuffix(at, kind)
	}
	return strings.Replace(at, "key_type", "keyType", 1)
}
