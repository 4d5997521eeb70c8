package pkiissuer

import (
	"sync"

	"k8s.io/apimachinery/pkg/types"
)

// told remembers which reason the last event of an object had, where no status can tell.
type told struct{ byUID sync.Map }

// anew tells whether the reason is another than the last one.
func (t *told) anew(uid types.UID, reason string) bool {
	was, ok := t.byUID.Swap(uid, reason)
	return !ok || was != reason
}

func (t *told) forget(uid types.UID) { t.byUID.Delete(uid) }
