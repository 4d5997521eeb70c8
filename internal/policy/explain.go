package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Explain decides like Decide and says which policies were evaluated and, when denied, which rule
// came nearest. It looks at every rule bound to the subject.
func (s *Set) Explain(q Request) Decision {
	d := s.Decide(q)
	bound := s.boundTo(&q.Subject)
	for _, b := range bound {
		if b.policy.Active && !b.expired(q.Subject.Now) {
			d.Evaluated = append(d.Evaluated, b.policy.ID)
		}
	}
	if !d.Allowed {
		d.Nearest = nearest(bound, &q)
	}
	return d
}

// boundTo lists the policies bound to a subject, each once and with its longest binding, in the
// order of the Set.
func (s *Set) boundTo(sub *Subject) []bound {
	var all []bound
	for who := range sub.identities {
		if e := s.subjects[who]; e != nil {
			all = append(all, e.bound...)
		}
	}
	slices.SortStableFunc(all, func(a, b bound) int {
		return cmp.Or(strings.Compare(a.policy.ID, b.policy.ID), compareEnds(b.expires, a.expires))
	})
	return slices.CompactFunc(all, func(a, b bound) bool { return a.policy == b.policy })
}

func nearest(bound []bound, q *Request) *Near {
	path, ok := splitPath(q.Path)
	if !ok {
		return nil
	}
	var best *Near
	bestRank := 0
	for i := range bound {
		b := &bound[i]
		for order := range b.policy.rules {
			r := &b.policy.rules[order]
			why, rank := r.nearness(b, q, path.slice())
			if rank > bestRank {
				best = &Near{PolicyID: b.policy.ID, Rule: order, Pattern: r.pattern.text, Why: why}
				bestRank = rank
			}
		}
	}
	return best
}

// nearness says why a rule did not allow and how near it came; 0: it has nothing to do with the
// request. It is asked about denied requests only.
func (r *rule) nearness(b *bound, q *Request, path []string) (string, int) {
	if r.pattern.class != q.Class {
		return "", 0
	}
	ns := literalNamespace(q.Subject.Namespace)
	if !matchSegments(r.pattern.segments, path, ns) {
		return WhyPath, r.pattern.agreement(path, ns)
	}
	switch {
	case r.permissions&q.Permission.bit() == 0:
		return WhyPermission, MaxDepth + 1
	case !b.policy.Active:
		return WhyInactive, MaxDepth + 2
	case b.expired(q.Subject.Now):
		return WhyExpired, MaxDepth + 3
	default:
		return WhyCondition, MaxDepth + 4
	}
}

// agreement counts the leading segments of the path that the pattern agrees with, not counting
// those that agree with every path.
func (p Pattern) agreement(path []string, ns string) int {
	n := 0
	for i, s := range p.segments {
		if i == len(path) || s.kind == deep || !s.matches(path[i], ns) {
			break
		}
		if s.kind != star {
			n++
		}
	}
	return n
}
