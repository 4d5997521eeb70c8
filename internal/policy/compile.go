package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Set is what Compile makes of a tenant's policies, ordered by id. It does not change, apart from
// indexes built when an identity first asks, and is safe for concurrent use.
type Set struct {
	policies []*compiled
	subjects map[identity]*entry

	mu      sync.Mutex
	indexes map[string]*index // by the policies they hold
}

// identity is a key of bindings.
type identity struct{ kind, id string }

// compiled is a policy with its patterns parsed.
type compiled struct {
	Policy
	rules []rule
}

type rule struct {
	pattern     Pattern
	permissions permissions
	conditions  *Conditions
}

// entry is what is bound to one identity: each policy once, ordered by id.
type entry struct {
	bound []bound
	index atomic.Pointer[index]

	mu    sync.Mutex
	spans map[spanKey]*spans
}

type bound struct {
	policy  *compiled
	expires time.Time // zero: never
}

func (b *bound) expired(now time.Time) bool {
	return !b.expires.IsZero() && (now.IsZero() || !now.Before(b.expires))
}

// RuleError says which field of which rule is wrong.
type RuleError struct {
	Code     string // invalid_glob or invalid_policy
	PolicyID string // empty when rules were checked alone
	Rule     int
	Field    string // path_pattern or permissions[i]
	Err      error
}

// Error implements error.
func (e *RuleError) Error() string {
	where := fmt.Sprintf("rules[%d].%s", e.Rule, e.Field)
	if e.PolicyID != "" {
		where = "policy " + e.PolicyID + ": " + where
	}
	return where + ": " + e.Err.Error()
}

// Unwrap returns the cause, a *PatternError for a bad pattern.
func (e *RuleError) Unwrap() error { return e.Err }

// Check reports the first mistake in rules as a *RuleError.
func Check(rules []Rule) error {
	_, err := parseRules("", rules)
	return err
}

// Compile prepares policies for decisions. The error is a *RuleError or says which id occurs twice.
func Compile(policies []Policy) (*Set, error) {
	s := &Set{subjects: map[identity]*entry{}, indexes: map[string]*index{}}
	for _, p := range policies {
		c, err := parse(p)
		if err != nil {
			return nil, err
		}
		s.policies = append(s.policies, c)
	}
	slices.SortStableFunc(s.policies, func(a, b *compiled) int { return strings.Compare(a.ID, b.ID) })
	for i, c := range s.policies {
		if i > 0 && s.policies[i-1].ID == c.ID {
			return nil, fmt.Errorf("policy id %q occurs twice", c.ID)
		}
		for _, b := range c.Bindings {
			key := b.identity()
			if s.subjects[key] == nil {
				s.subjects[key] = &entry{}
			}
			s.subjects[key].bind(c, b.ExpiresAt)
		}
	}
	return s, nil
}

// Policy returns the policy of an id as it was compiled. Its slices must not be changed.
func (s *Set) Policy(id string) (Policy, bool) {
	if at, found := s.find(id); found {
		return s.policies[at].Policy, true
	}
	return Policy{}, false
}

// With returns a Set that holds p, in the place of the policy of the same id if there is one. It
// shares all else with s, so one change does not cost as much as compiling all. The error is a
// *RuleError.
func (s *Set) With(p Policy) (*Set, error) {
	c, err := parse(p)
	if err != nil {
		return nil, err
	}
	return s.replace(p.ID, c), nil
}

// Without returns a Set that lacks the policy of an id.
func (s *Set) Without(id string) *Set { return s.replace(id, nil) }

func (s *Set) find(id string) (int, bool) {
	return slices.BinarySearchFunc(s.policies, id, func(c *compiled, id string) int { return strings.Compare(c.ID, id) })
}

// replace puts fresh, unless nil, where the policy of an id is or belongs. Entries of identities
// that the change does not touch are shared together with their indexes.
func (s *Set) replace(id string, fresh *compiled) *Set {
	next := &Set{policies: slices.Clone(s.policies), subjects: maps.Clone(s.subjects), indexes: map[string]*index{}}
	touched := map[identity]bool{}
	at, found := s.find(id)
	if found {
		for _, b := range s.policies[at].Bindings {
			touched[b.identity()] = true
		}
		next.policies = slices.Delete(next.policies, at, at+1)
	}
	if fresh != nil {
		for _, b := range fresh.Bindings {
			touched[b.identity()] = true
		}
		next.policies = slices.Insert(next.policies, at, fresh)
	}
	for who := range touched {
		if e := s.subjects[who].replace(id, who, fresh); len(e.bound) > 0 {
			next.subjects[who] = e
		} else {
			delete(next.subjects, who)
		}
	}
	return next
}

// replace returns the entry that who has once fresh, unless nil, takes the place of the policy of
// an id. The receiver may be nil.
func (e *entry) replace(id string, who identity, fresh *compiled) *entry {
	next := &entry{}
	if e != nil {
		for _, b := range e.bound {
			if b.policy.ID != id {
				next.bound = append(next.bound, b)
			}
		}
	}
	if fresh == nil {
		return next
	}
	for _, b := range fresh.Bindings {
		if b.identity() == who {
			next.bind(fresh, b.ExpiresAt)
		}
	}
	return next
}

// bind adds a policy in its place; bound twice, it holds as long as the longer binding.
func (e *entry) bind(c *compiled, expires time.Time) {
	at, found := slices.BinarySearchFunc(e.bound, c.ID, func(b bound, id string) int { return strings.Compare(b.policy.ID, id) })
	if !found {
		e.bound = slices.Insert(e.bound, at, bound{policy: c, expires: expires})
		return
	}
	if known := &e.bound[at].expires; compareEnds(expires, *known) > 0 {
		*known = expires
	}
}

// compareEnds orders expiry times; the zero time, never, is the last.
func compareEnds(a, b time.Time) int {
	switch {
	case a.IsZero() && b.IsZero():
		return 0
	case a.IsZero():
		return 1
	case b.IsZero():
		return -1
	default:
		return a.Compare(b)
	}
}

func parse(p Policy) (*compiled, error) {
	rules, err := parseRules(p.ID, p.Rules)
	if err != nil {
		return nil, err
	}
	return &compiled{Policy: p, rules: rules}, nil
}

func parseRules(policyID string, rules []Rule) ([]rule, error) {
	parsed := make([]rule, len(rules))
	for i, r := range rules {
		pattern, err := ParsePattern(r.Pattern)
		if err != nil {
			return nil, &RuleError{Code: CodeInvalidGlob, PolicyID: policyID, Rule: i, Field: "path_pattern", Err: err}
		}
		granted, field, err := grant(pattern.class, r.Permissions)
		if err != nil {
			return nil, &RuleError{Code: CodeInvalidPolicy, PolicyID: policyID, Rule: i, Field: field, Err: err}
		}
		parsed[i] = rule{pattern: pattern, permissions: granted, conditions: r.Conditions}
	}
	return parsed, nil
}
