package operator_test

import (
	"path/filepath"
	"sync"

	"github.com/scailabs/scaivault/test/controlplane"
)

var installed struct {
	sync.Mutex
	done bool
}

// install applies config/default, unless this process did so already.
func (w *world) install() {
	w.Helper()
	installed.Lock()
	defer installed.Unlock()
	if installed.done {
		return
	}
	w.kubectl("apply", "--server-side", "-k", filepath.Join(controlplane.Root(), "config/default"))
	w.plane.InstallCRDs(w)
	installed.done = true
}
