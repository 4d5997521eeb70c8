package policy

// Decide answers a request. It allocates nothing once the subject's index is built.
func (s *Set) Decide(q Request) Decision {
	d := Decision{Rule: -1, Reason: CodeAccessDenied}
	path, ok := splitPath(q.Path)
	bit := q.Permission.bit()
	if !ok || bit == 0 {
		return d
	}
	w := walk{
		subject: &q.Subject, namespace: literalNamespace(q.Subject.Namespace),
		path: path.slice(), permission: bit,
	}
	if w.anyEntry(s, &q) {
		return Decision{Allowed: true, PolicyID: w.policy.ID, Rule: w.rule}
	}
	d.Reason, d.FailedCondition = w.failure.code(), w.failure.condition()
	return d
}

// walk is the state of one decision. What it finds is kept as pointers to what the Set holds: a
// string copied into it and returned would move it and the request to the heap.
type walk struct {
	subject    *Subject
	namespace  string
	path       []string
	permission permissions
	bound      []bound // of the identity looked at

	policy *compiled // what allowed
	rule   int

	failedPolicy *compiled // first rule, in the order of the Set, that only a condition held back
	failedRule   int
	failure      failure
}

// anyEntry reports whether the subject himself or one of his groups is allowed.
func (w *walk) anyEntry(s *Set, q *Request) bool {
	for who := range q.Subject.identities {
		if w.entry(s, q.Class, who) {
			return true
		}
	}
	return false
}

func (w *walk) entry(s *Set, c Class, who identity) bool {
	e := s.subjects[who]
	if e == nil {
		return false
	}
	root := s.indexOf(e).classes[c]
	if root == nil {
		return false
	}
	w.bound = e.bound
	return w.node(root, 0)
}

// node looks at the rules of a node that the first depth segments of the path have led to, and at
// those below.
func (w *walk) node(n *node, depth int) bool {
	for i := range n.rules {
		if w.try(&n.rules[i], depth) {
			return true
		}
	}
	if depth == len(w.path) {
		return false
	}
	text := w.path[depth]
	if next := n.literal[text]; next != nil && w.node(next, depth+1) {
		return true
	}
	if n.namespace != nil && w.namespace == text && w.node(n.namespace, depth+1) {
		return true
	}
	return n.star != nil && w.node(n.star, depth+1)
}

func (w *walk) try(r *indexed, depth int) bool {
	b := &w.bound[r.slot]
	if r.permissions&w.permission == 0 || !matchSegments(r.rest, w.path[depth:], w.namespace) || b.expired(w.subject.Now) {
		return false
	}
	failed := r.conditions.failed(w.subject)
	if failed == holds {
		w.policy, w.rule = b.policy, r.order
		return true
	}
	if w.failsFirst(b.policy, r.order) {
		w.failedPolicy, w.failedRule, w.failure = b.policy, r.order, failed
	}
	return false
}

// failsFirst reports whether a rule comes before the one that is held to have failed so far.
func (w *walk) failsFirst(p *compiled, order int) bool {
	if w.failedPolicy == nil || p.ID < w.failedPolicy.ID {
		return true
	}
	return p == w.failedPolicy && order < w.failedRule
}
