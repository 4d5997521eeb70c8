package policy

import (
	"cmp"
	"slices"
	"strings"
)

// Range is a span of path strings in byte order.
type Range struct {
	From string // inclusive
	To   string // exclusive; empty: no end
}

// Ranges returns sorted, disjoint ranges that cover every path of the class on which the subject
// holds the permission now. They may hold other paths too: Decide says which. None means that no
// path is allowed. The slice may be shared and must not be changed.
func (s *Set) Ranges(sub Subject, p Permission, c Class) []Range {
	key := spanKey{class: c, permission: p.bit()}
	lists := make([][]Range, 0, 2)
	for who := range sub.identities {
		if e := s.subjects[who]; e != nil {
			known := e.spansFor(key)
			lists = append(lists, known.fixed, known.openTo(&sub))
		}
	}
	lists = slices.DeleteFunc(lists, func(l []Range) bool { return len(l) == 0 })
	if len(lists) == 1 {
		return lists[0]
	}
	return merge(slices.Concat(lists...))
}

// spans are the rules of one identity as ranges. What holds for the identity at any time is worked
// out once, so that a list does not pay for ten thousand rules.
type spans struct {
	fixed []Range
	open  []openRule
}

type spanKey struct {
	class      Class
	permission permissions
}

// openRule is a rule whose ranges depend on who asks, when and from where.
type openRule struct {
	*rule
	bound *bound
}

func (e *entry) spansFor(key spanKey) *spans {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.spans == nil {
		e.spans = map[spanKey]*spans{}
	}
	known := e.spans[key]
	if known == nil {
		known = newSpans(e.bound, key)
		e.spans[key] = known
	}
	return known
}

func newSpans(policies []bound, key spanKey) *spans {
	n := &spans{}
	for i := range policies {
		b := &policies[i]
		if !b.policy.Active {
			continue
		}
		for j := range b.policy.rules {
			r := &b.policy.rules[j]
			if r.pattern.class != key.class || r.permissions&key.permission == 0 {
				continue
			}
			if b.expires.IsZero() && r.conditions.empty() && !r.pattern.placed() {
				n.fixed = append(n.fixed, r.pattern.ranges("")...)
			} else {
				n.open = append(n.open, openRule{rule: r, bound: b})
			}
		}
	}
	n.fixed = merge(n.fixed)
	return n
}

func (n *spans) openTo(sub *Subject) []Range {
	var all []Range
	ns := literalNamespace(sub.Namespace)
	for _, r := range n.open {
		if !r.bound.expired(sub.Now) && r.conditions.failed(sub) == holds {
			all = append(all, r.pattern.ranges(ns)...)
		}
	}
	return merge(all)
}

// ranges returns what covers the paths of one pattern: the paths that begin as the pattern does up
// to its first wildcard.
func (p Pattern) ranges(ns string) []Range {
	prefix := ""
	for i, s := range p.segments {
		if i > 0 && s.kind != deep {
			prefix += "/"
		}
		if s.kind == deep {
			return belowDeep(prefix, i == len(p.segments)-1)
		}
		fixed, more, possible := s.prefix(ns)
		if !possible {
			return nil
		}
		prefix += fixed
		if more {
			return []Range{{From: prefix, To: after(prefix)}}
		}
	}
	return []Range{exactly(prefix)}
}

// belowDeep covers prefix/**: the paths below prefix and, if nothing follows, prefix itself.
func belowDeep(prefix string, last bool) []Range {
	if prefix == "" {
		return []Range{{}}
	}
	below := Range{From: prefix + "/", To: after(prefix + "/")}
	if last {
		return []Range{exactly(prefix), below}
	}
	return []Range{below}
}

// prefix returns the literal beginning of what a segment matches, whether more may follow, and
// whether it can match at all.
func (s segment) prefix(ns string) (fixed string, more, possible bool) {
	switch s.kind {
	case literal:
		return s.text, false, true
	case namespace:
		return ns, false, ns != ""
	case star:
		return "", true, true
	}
	for _, p := range s.parts {
		switch {
		case p.kind == literal:
			fixed += p.text
		case p.kind == namespace && ns == "":
			return "", false, false
		case p.kind == namespace:
			fixed += ns
		default:
			return fixed, true, true
		}
	}
	return fixed, false, true
}

func exactly(path string) Range { return Range{From: path, To: path + "\x00"} }

// after returns the first string behind all that begin with prefix. The last character of a prefix
// is one of a path, so it has a successor.
func after(prefix string) string {
	if prefix == "" {
		return ""
	}
	last := len(prefix) - 1
	return prefix[:last] + string(prefix[last]+1)
}

func merge(all []Range) []Range {
	slices.SortFunc(all, func(a, b Range) int {
		return cmp.Or(strings.Compare(a.From, b.From), strings.Compare(a.To, b.To))
	})
	merged := all[:0]
	for _, r := range all {
		last := len(merged) - 1
		switch {
		case last < 0 || merged[last].To != "" && r.From > merged[last].To:
			merged = append(merged, r)
		case merged[last].To != "" && (r.To == "" || r.To > merged[last].To):
			merged[last].To = r.To
		}
	}
	return merged
}
