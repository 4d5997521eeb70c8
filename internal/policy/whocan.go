package policy

import (
	"strings"
	"time"
)

// Grant is one binding through which a rule grants what was asked for.
type Grant struct {
	PolicyID    string
	Rule        int
	Binding     Binding
	Conditional bool // holds only under the rule's conditions, or in the namespace that {namespace} asks for
}

// WhoCan lists, in the order of the Set, the bindings in force at now through which a permission on
// a path is granted. A rule with {namespace} counts for an identity of a ServiceAccount
// (sa:<namespace>:<name> or sa:<cluster>:<namespace>:<name>) by the namespace it names, and for any
// other identity as if it could come from every namespace.
func (s *Set) WhoCan(p Permission, c Class, path string, now time.Time) []Grant {
	parts, ok := splitPath(path)
	if !ok {
		return nil
	}
	var grants []Grant
	for _, policy := range s.policies {
		if !policy.Active {
			continue
		}
		for i := range policy.rules {
			r := &policy.rules[i]
			if r.pattern.class == c && r.permissions&p.bit() != 0 {
				grants = r.grants(grants, policy, i, grantQuery{path: parts.slice(), now: now})
			}
		}
	}
	return grants
}

type grantQuery struct {
	path []string
	now  time.Time
}

func (r *rule) grants(to []Grant, policy *compiled, order int, q grantQuery) []Grant {
	wide, placed := r.pattern.anyNamespace()
	if !matchSegments(wide, q.path, "") {
		return to
	}
	for _, b := range policy.Bindings {
		if (&bound{expires: b.ExpiresAt}).expired(q.now) {
			continue
		}
		if ns := NamespaceOf(b.IdentityID); placed && ns != "" && !matchSegments(r.pattern.segments, q.path, ns) {
			continue
		}
		to = append(to, Grant{
			PolicyID: policy.ID, Rule: order, Binding: b,
			Conditional: placed || !r.conditions.empty(),
		})
	}
	return to
}

// placed reports whether {namespace} occurs in the pattern.
func (p Pattern) placed() bool { return strings.Contains(p.text, placeholder) }

// anyNamespace returns the segments with * for {namespace}, and whether there was one.
func (p Pattern) anyNamespace() ([]segment, bool) {
	if !p.placed() {
		return p.segments, false
	}
	wide := make([]segment, len(p.segments))
	for i, s := range p.segments {
		if s.kind == namespace {
			s.kind = star
		}
		parts := make([]part, len(s.parts))
		for j, t := range s.parts {
			if t.kind == namespace {
				t.kind = star
			}
			parts[j] = t
		}
		s.parts = parts
		wide[i] = s
	}
	return wide, true
}
