package policy

import (
	"strconv"
	"strings"
)

// index finds the rules that may speak of a path among those of a fixed list of policies. Its trie
// follows the leading segments of patterns that are literal, * or {namespace}; the rest of a
// pattern is matched rule by rule. So a decision costs as much as the rules that agree with the
// beginning of the path, however many there are.
type index struct {
	classes map[Class]*node
}

type node struct {
	literal   map[string]*node
	star      *node
	namespace *node
	rules     []indexed
}

// indexed is a rule at the node where its literal beginning ends.
type indexed struct {
	*rule
	rest  []segment // the segments that the trie has not compared
	slot  int       // position of the policy in entry.bound
	order int       // index of the rule in its policy
}

// indexOf returns the index of an entry and builds it when the identity asks for the first time.
// Identities with equal policies share one.
func (s *Set) indexOf(e *entry) *index {
	if ready := e.index.Load(); ready != nil {
		return ready
	}
	var key strings.Builder
	for _, b := range e.bound {
		key.WriteString(strconv.Quote(b.policy.ID))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.indexes[key.String()]
	if x == nil {
		x = newIndex(e.bound)
		s.indexes[key.String()] = x
	}
	e.index.Store(x)
	return x
}

func newIndex(policies []bound) *index {
	x := &index{classes: map[Class]*node{}}
	for slot, b := range policies {
		if !b.policy.Active {
			continue
		}
		for i := range b.policy.rules {
			x.add(slot, i, &b.policy.rules[i])
		}
	}
	return x
}

func (x *index) add(slot, order int, r *rule) {
	n := x.classes[r.pattern.class]
	if n == nil {
		n = &node{}
		x.classes[r.pattern.class] = n
	}
	rest := r.pattern.segments
	for len(rest) > 0 {
		next := n.child(rest[0])
		if next == nil {
			break
		}
		n, rest = next, rest[1:]
	}
	n.rules = append(n.rules, indexed{rule: r, rest: rest, slot: slot, order: order})
}

// child returns the node below for a segment the trie can compare, else nil.
func (n *node) child(s segment) *node {
	switch s.kind {
	case literal:
		if n.literal == nil {
			n.literal = map[string]*node{}
		}
		return grow(n.literal[s.text], func(c *node) { n.literal[s.text] = c })
	case star:
		return grow(n.star, func(c *node) { n.star = c })
	case namespace:
		return grow(n.namespace, func(c *node) { n.namespace = c })
	default:
		return nil
	}
}

func grow(known *node, put func(*node)) *node {
	if known != nil {
		return known
	}
	fresh := &node{}
	put(fresh)
	return fresh
}
