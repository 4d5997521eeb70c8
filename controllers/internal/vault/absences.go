package vault

import (
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// secondLook is the least time between two looks that both find a source missing before it counts as
// absent without an event that says so.
const secondLook = 30 * time.Second

// absencesLimit bounds the memory of deletions; the oldest go first, and a source is then judged by the
// slower rule of two looks.
const absencesLimit = 10_000

// Absences remembers which secrets an event said were deleted, and which were found missing once.
type Absences struct {
	mu       sync.Mutex
	order    []string
	gone     map[string]bool
	suspects map[types.UID]time.Time
}

// NewAbsences remembers nothing yet.
func NewAbsences() *Absences {
	return &Absences{gone: map[string]bool{}, suspects: map[types.UID]time.Time{}}
}

// Missing notes that an object found one of these paths missing, and tells whether that counts as absent:
// an event said that one was deleted, or the object found it so already half a minute ago.
func (a *Absences) Missing(object types.UID, paths []string, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.ContainsFunc(paths, func(p string) bool { return a.gone[p] }) {
		return true
	}
	first, seen := a.suspects[object]
	if !seen {
		a.suspects[object] = now
		return false
	}
	return now.Sub(first) >= secondLook
}

// Deleted tells whether an event said that a secret was deleted, and none since that it is there.
func (a *Absences) Deleted(path string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.gone[path]
}

// Present notes that an object found all that it needs, or is gone.
func (a *Absences) Present(object types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.suspects, object)
}

// Saw takes note of an event.
func (a *Absences) Saw(e vaultapi.Event) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if e.EventType != eventDeleted {
		delete(a.gone, e.Path)
		return
	}
	if !a.gone[e.Path] {
		a.gone[e.Path] = true
		a.order = append(slices.DeleteFunc(a.order, func(p string) bool { return p == e.Path }), e.Path)
	}
	if len(a.order) > absencesLimit {
		delete(a.gone, a.order[0])
		a.order = a.order[1:]
	}
}
