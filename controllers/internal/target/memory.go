package target

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Memory holds what our own last write to each target left. A watch lags behind our writes, and a
// precondition taken from it would make every burst of changes fail. A watch may also be faster than the answer
// to a write: what it shows while one is under way is judged when the answer is there.
type Memory struct {
	mu     sync.Mutex
	last   map[types.UID]State
	met    map[types.UID]State // what a write of ours failed on: not ours, and newer than what the watch shows
	flying map[types.UID]*flight
}

// flight is what the watch showed of a target while we wrote to it.
type flight struct {
	seen State     // the newest
	gone types.UID // the Secret whose end was seen last
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory {
	return &Memory{last: map[types.UID]State{}, met: map[types.UID]State{}, flying: map[types.UID]*flight{}}
}

// begin notes that a write is under way. An owner has one at a time.
func (m *Memory) begin(o Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.flying[o.UID] = &flight{}
}

// end notes that it is over and left a state, and tells whether somebody else wrote after us.
func (m *Memory) end(o Owner, left State) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flying[o.UID]
	delete(m.flying, o.UID)
	if f.gone != "" && f.gone == left.UID {
		m.drop(o.UID)
		return true
	}
	return f.seen.Name == left.Name && newer(f.seen.ResourceVersion, left.ResourceVersion)
}

// of is the newest state known of an owner's target, zero if none.
func (m *Memory) of(o Owner, name string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	newest := m.last[o.UID]
	if met := m.met[o.UID]; newer(met.ResourceVersion, newest.ResourceVersion) {
		newest = met
	}
	if newest.Name != name {
		return State{}
	}
	return newest
}

// own is what our own last write left of the target, zero if there was none.
func (m *Memory) own(o Owner, name string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.last[o.UID]; s.Name == name {
		return s
	}
	return State{}
}

func (m *Memory) put(o Owner, s *corev1.Secret) State {
	at := stateOf(s)
	m.set(o, at)
	return at
}

func (m *Memory) set(o Owner, s State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.met, o.UID)
	m.last[o.UID] = s
}

// meet replaces all that is known by a state that somebody else left.
func (m *Memory) meet(o Owner, s State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.last, o.UID)
	m.met[o.UID] = s
}

// Forget drops what is known of an owner's target.
func (m *Memory) Forget(o Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.drop(o.UID)
}

func (m *Memory) drop(owner types.UID) {
	delete(m.last, owner)
	delete(m.met, owner)
}

// Gone tells that a Secret was deleted, and returns whether its owner has to look: what we remember of it would
// make us update what is not there. While we write it may be ourselves who replaced it.
func (m *Memory) Gone(o Owner, uid types.UID) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.flying[o.UID]; f != nil {
		f.gone = uid
		return false
	}
	if m.last[o.UID].UID == uid || m.met[o.UID].UID == uid {
		m.drop(o.UID)
	}
	return true
}

// Drifted tells whether somebody else wrote to the target: the watch shows a state that is neither what
// the status records nor what our own last write left, nor older than that.
func (m *Memory) Drifted(o Owner, recorded State, seen metav1.Object) bool {
	if m.deferred(o, seen) {
		return false
	}
	last := m.own(o, seen.GetName())
	if last.UID == seen.GetUID() && !newer(seen.GetResourceVersion(), last.ResourceVersion) {
		return false
	}
	return recorded.Name != seen.GetName() || recorded.UID != seen.GetUID() || recorded.ResourceVersion != seen.GetResourceVersion()
}

// deferred keeps what was seen during a write for its end.
func (m *Memory) deferred(o Owner, seen metav1.Object) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.flying[o.UID]
	if f == nil {
		return false
	}
	if newer(seen.GetResourceVersion(), f.seen.ResourceVersion) {
		f.seen = stateOf(seen)
	}
	return true
}

// newer tells whether resourceVersion a is later than b; nothing is older than everything.
func newer(a, b string) bool {
	if a == "" || b == "" {
		return a != ""
	}
	c, err := resourceversion.CompareResourceVersion(a, b)
	if err != nil {
		return a != b
	}
	return c > 0
}
