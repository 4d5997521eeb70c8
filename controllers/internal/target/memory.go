package target

import (
	"sync"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// Memory holds what our own last write to each target left. A watch lags behind our writes, and a
// precondition taken from it would make every burst of changes fail.
type Memory struct {
	mu   sync.Mutex
	last map[types.UID]State
}

// NewMemory makes an empty Memory.
func NewMemory() *Memory { return &Memory{last: map[types.UID]State{}} }

func (m *Memory) of(o Owner, name string) State {
	m.mu.Lock()
	defer m.mu.Unlock()
	if s := m.last[o.UID]; s.Name == name {
		return s
	}
	return State{}
}

func (m *Memory) put(o Owner, s *corev1.Secret) State {
	at := State{Name: s.Name, UID: s.UID, ResourceVersion: s.ResourceVersion}
	m.set(o, at)
	return at
}

func (m *Memory) set(o Owner, s State) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.last[o.UID] = s
}

// Forget drops what is known of an owner's target.
func (m *Memory) Forget(o Owner) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.last, o.UID)
}

// Gone tells that a Secret was deleted; what we remember of it would make us update what is not there.
func (m *Memory) Gone(o Owner, uid types.UID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.last[o.UID].UID == uid {
		delete(m.last, o.UID)
	}
}

// Drifted tells whether somebody else wrote to the target: the watch shows a state that is neither what
// the status records nor what our own last write left, nor older than that.
func (m *Memory) Drifted(o Owner, recorded State, seen metav1.Object) bool {
	last := m.of(o, seen.GetName())
	if last.UID == seen.GetUID() && !newer(seen.GetResourceVersion(), last.ResourceVersion) {
		return false
	}
	return recorded.Name != seen.GetName() || recorded.UID != seen.GetUID() || recorded.ResourceVersion != seen.GetResourceVersion()
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
