package policy

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"time"
)

// The naive evaluator: slow, recursive, written from the contract alone. It shares no code with the
// matcher that it checks.

var (
	naiveSegment = regexp.MustCompile(`^(?:[a-z0-9_.-]|\*|\?|\{namespace\})+$`)
	naivePath    = regexp.MustCompile(`^[a-z0-9_.-]+(/[a-z0-9_.-]+){0,9}$`)
	naiveLabel   = regexp.MustCompile(`^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$`)
)

// naiveWindow is what a TimeWindow in UTC was made of.
type naiveWindow struct {
	days       []time.Weekday
	start, end time.Duration
}

type naiveRule struct {
	pattern     string
	permissions []Permission
	ranges      []netip.Prefix
	mfa         bool
	window      *naiveWindow
}

type naivePolicy struct {
	id       string
	active   bool
	rules    []naiveRule
	bindings []Binding
}

func naiveValid(pattern string) bool {
	if i := strings.Index(pattern, ":"); i >= 0 {
		if class := pattern[:i]; class != "pki" && class != "dynamic" && class != "partner" {
			return false
		}
		pattern = pattern[i+1:]
	}
	if len(pattern) > 512 {
		return false
	}
	segments, depth := strings.Split(pattern, "/"), 0
	for _, s := range segments {
		if s == "**" {
			continue
		}
		depth++
		if !naiveSegment.MatchString(s) || strings.Contains(s, "**") || s == "." || s == ".." {
			return false
		}
	}
	return depth <= 10 && len(segments) <= 20
}

func naiveLegalPath(path string) bool {
	if len(path) > 512 || !naivePath.MatchString(path) {
		return false
	}
	return !slices.ContainsFunc(strings.Split(path, "/"), func(s string) bool { return s == "." || s == ".." })
}

func naiveMatch(pattern, path, namespace string) bool {
	if i := strings.Index(pattern, ":"); i >= 0 {
		pattern = pattern[i+1:]
	}
	if !naiveLegalPath(path) {
		return false
	}
	if pattern == "**" {
		return true
	}
	if rest, found := strings.CutPrefix(pattern, "**/"); found {
		segments := strings.Split(path, "/")
		for i := 1; i <= len(segments); i++ {
			if naiveSegments(strings.Split(rest, "/"), segments[i:], namespace) {
				return true
			}
		}
		return false
	}
	return naiveSegments(strings.Split(pattern, "/"), strings.Split(path, "/"), namespace)
}

func naiveSegments(pattern, path []string, namespace string) bool {
	if len(pattern) == 0 {
		return len(path) == 0
	}
	if pattern[0] == "**" {
		if naiveSegments(pattern[1:], path, namespace) {
			return true
		}
		return len(path) > 0 && naiveSegments(pattern, path[1:], namespace)
	}
	return len(path) > 0 && naiveText(pattern[0], path[0], namespace) && naiveSegments(pattern[1:], path[1:], namespace)
}

func naiveText(glob, text, namespace string) bool {
	switch {
	case glob == "":
		return text == ""
	case strings.HasPrefix(glob, "{namespace}"):
		return naiveLabel.MatchString(namespace) && strings.HasPrefix(text, namespace) &&
			naiveText(glob[len("{namespace}"):], text[len(namespace):], namespace)
	case glob[0] == '*':
		return naiveText(glob[1:], text, namespace) || text != "" && naiveText(glob, text[1:], namespace)
	case text == "":
		return false
	default:
		return (glob[0] == '?' || glob[0] == text[0]) && naiveText(glob[1:], text[1:], namespace)
	}
}

func naiveClass(pattern string) Class {
	class, _, found := strings.Cut(pattern, ":")
	if !found {
		return ""
	}
	return Class(class)
}

func naiveBound(p naivePolicy, sub Subject) bool {
	for _, b := range p.bindings {
		if !b.ExpiresAt.IsZero() && (sub.Now.IsZero() || !sub.Now.Before(b.ExpiresAt)) {
			continue
		}
		if b.IdentityType == sub.Type && b.IdentityID == sub.ID {
			return true
		}
		if b.IdentityType == "group" && slices.Contains(sub.Groups, b.IdentityID) {
			return true
		}
	}
	return false
}

// naiveApplies says whether a rule speaks of class, path and permission, whatever its conditions.
func naiveApplies(r naiveRule, q Request) bool {
	if naiveClass(r.pattern) != q.Class || !naiveMatch(r.pattern, q.Path, q.Subject.Namespace) {
		return false
	}
	known := map[Class][]Permission{
		"":        {"read", "write", "delete", "list", "rotate", "admin"},
		"partner": {"read", "write", "delete", "list", "rotate", "admin"},
		"pki":     {"issue", "admin"},
		"dynamic": {"generate", "admin"},
	}
	if slices.Contains(r.permissions, "admin") {
		return slices.Contains(known[q.Class], q.Permission)
	}
	return slices.Contains(r.permissions, q.Permission)
}

func naiveFailed(r naiveRule, sub Subject) (condition, code string) {
	if r.ranges != nil && !slices.ContainsFunc(r.ranges, func(p netip.Prefix) bool { return p.Contains(sub.IP) }) {
		return "ip_ranges", "ip_not_allowed"
	}
	if r.window != nil && !naiveInside(*r.window, sub.Now) {
		return "time_window", "time_window_violation"
	}
	if r.mfa && !sub.MFA {
		return "require_mfa", "mfa_required"
	}
	return "", ""
}

// naiveInside lays the window on each of the two days on which the one that holds t could begin.
func naiveInside(w naiveWindow, t time.Time) bool {
	if t.IsZero() {
		return false
	}
	length := w.end - w.start
	if length < 0 {
		length += 24 * time.Hour
	}
	today := t.UTC().Truncate(24 * time.Hour)
	for _, day := range []time.Time{today, today.AddDate(0, 0, -1)} {
		begin := day.Add(w.start)
		if slices.Contains(w.days, day.Weekday()) && !t.Before(begin) && t.Before(begin.Add(length)) {
			return true
		}
	}
	return false
}

func naiveDecide(policies []naivePolicy, q Request) Decision {
	denied := Decision{Rule: -1, Reason: "access_denied"}
	for _, p := range policies {
		if !p.active || !naiveBound(p, q.Subject) {
			continue
		}
		for i, r := range p.rules {
			if !naiveApplies(r, q) {
				continue
			}
			condition, code := naiveFailed(r, q.Subject)
			if condition == "" {
				return Decision{Allowed: true, PolicyID: p.id, Rule: i}
			}
			if denied.FailedCondition == "" {
				denied.Reason, denied.FailedCondition = code, condition
			}
		}
	}
	return denied
}
