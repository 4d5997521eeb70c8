package rotationschedule

import (
	"fmt"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/internal/schedule"
)

const (
	defaultPeriod   = 48 * time.Hour
	defaultDeadline = 7 * 24 * time.Hour
)

// Check lists what is wrong with a spec beyond its schema. Admission asks the same.
func Check(spec *v1alpha1.RotationScheduleSpec) field.ErrorList {
	wrong := checkDurations(spec)
	if len(wrong) > 0 { // the rest compares them
		return wrong
	}
	wrong = append(wrong, checkPattern(string(spec.Secrets.PathPattern))...)
	wrong = append(wrong, checkTimes(spec)...)
	wrong = append(wrong, checkGrace(spec)...)
	return append(wrong, checkRecipe(spec)...)
}

// durations are those of a spec, by their fields.
func durations(spec *v1alpha1.RotationScheduleSpec) map[string]v1alpha1.Duration {
	all := map[string]v1alpha1.Duration{"when.every": spec.When.Every, "when.window": spec.When.Window, "when.spread": spec.When.Spread}
	if g := spec.Grace; g != nil {
		all["grace.period"], all["grace.deadline"] = g.Period, g.Deadline
	}
	for i, w := range spec.WarnBefore {
		all[fmt.Sprintf("warnBefore[%d]", i)] = w
	}
	return all
}

func checkDurations(spec *v1alpha1.RotationScheduleSpec) (wrong field.ErrorList) {
	for at, text := range durations(spec) {
		if text == "" {
			continue
		}
		if _, err := schedule.ParseDuration(string(text)); err != nil {
			wrong = append(wrong, invalid(at, err.Error()))
		}
	}
	return wrong
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

// checkTimes refuses times that cannot be met.
func checkTimes(spec *v1alpha1.RotationScheduleSpec) (wrong field.ErrorList) {
	w := spec.When
	if w.Cron != "" {
		return checkCron(w)
	}
	every := length(w.Every)
	if w.Spread != "" && length(w.Spread) >= every {
		wrong = append(wrong, invalid("when.spread", fmt.Sprintf("must be shorter than when.every, which is %s", w.Every)))
	}
	for i, warn := range spec.WarnBefore {
		if length(warn) >= every {
			wrong = append(wrong, invalid(fmt.Sprintf("warnBefore[%d]", i), fmt.Sprintf("must be shorter than when.every, which is %s", w.Every)))
		}
	}
	return wrong
}

// checkGrace refuses a grace that ends before it begins to mean something, or is not over when the next one begins.
func checkGrace(spec *v1alpha1.RotationScheduleSpec) (wrong field.ErrorList) {
	period, deadline := period(spec), deadline(spec)
	if spec.Grace != nil && spec.Grace.Deadline != "" && deadline < period {
		wrong = append(wrong, invalid("grace.deadline", "must not be shorter than grace.period"))
	}
	if every := length(spec.When.Every); every > 0 && max(period, deadline) >= every {
		at, why := "grace.period", ""
		if deadline > period {
			at = "grace.deadline"
		}
		if spec.Grace == nil || spec.Grace.Period == "" {
			why = " (without it, 48h)"
		}
		wrong = append(wrong, invalid(at, fmt.Sprintf("must be shorter than when.every, which is %s%s", spec.When.Every, why)))
	}
	return wrong
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
func deadline(spec *v1alpha1.RotationScheduleSpec) time.Duration {
	if !waits(spec) {
		return 0
	}
	if spec.Grace.Deadline != "" {
		return length(spec.Grace.Deadline)
	}
	d := defaultDeadline
	if every := length(spec.When.Every); every > 0 {
		d = min(d, (every / 2).Truncate(time.Second))
	}
	return max(d, period(spec))
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
