package rotationschedule

import (
	"context"
	"maps"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	// forceChunk is how many secrets one call rotates, by contract.
	forceChunk = 100
	// forcedReason stands in the vault's history.
	forcedReason = "requested"
)

// forcing is a request that this process carries out.
type forcing struct {
	request string
	paths   map[string]bool // that were tried
}

// force rotates now what scaivault.io/requestedAt asks for. The first run only notes in the status what there was
// before, by the vault's clock, and a later one rotates whatever has not been rotated since: an operator that dies in
// the middle goes on where it was.
func (s *run) force(ctx context.Context) error {
	st, asked := &s.obj.Status, reconcile.Asked(&s.obj)
	if asked == "" || asked == st.LastHandledRequest {
		st.Forced = nil
		return nil
	}
	if st.Forced == nil || st.Forced.Request != asked {
		st.Forced = &v1alpha1.ForcedRotation{Request: asked, After: newest(s.have)}
		s.pending = true
		return nil
	}
	tried := s.tried(asked)
	for chunk := range slices.Chunk(owing(s.have, st.Forced.After, tried.paths), forceChunk) {
		items, err := s.as.Rotate(ctx, st.PolicyID, vaultapi.PolicyRotation{SecretPaths: chunk, Reason: forcedReason})
		if err != nil && !vaultapi.IsForbidden(err) { // what is forbidden is in the failures, or refused
			s.pending = true
			return vault.Explain(err, "rotate now")
		}
		for _, i := range items {
			tried.paths[i.Path] = true
		}
	}
	st.Forced = nil
	s.done.Delete(s.obj.UID)
	return s.assigned(ctx)
}

// tried is what this process did of a request.
func (s *run) tried(request string) *forcing {
	if f, ok := s.done.Load(s.obj.UID); ok && f.(*forcing).request == request {
		return f.(*forcing)
	}
	f := &forcing{request: request, paths: map[string]bool{}}
	s.done.Store(s.obj.UID, f)
	return f
}

// newest is when the last rotation of all was, nil if there was none.
func newest(all map[string]vaultapi.RotationAssignment) *metav1.Time {
	var last *metav1.Time
	for _, a := range all {
		if a.LastRotatedAt != nil && (last == nil || a.LastRotatedAt.After(last.Time)) {
			last = &metav1.Time{Time: a.LastRotatedAt.Time}
		}
	}
	return last
}

// owing lists what has not been rotated since a time and was not tried, in order. A secret that waits for somebody to
// write it has been asked for.
func owing(all map[string]vaultapi.RotationAssignment, after *metav1.Time, tried map[string]bool) []string {
	var since time.Time
	if after != nil {
		since = after.Time
	}
	var owed []string
	for _, path := range slices.Sorted(maps.Keys(all)) {
		a := all[path]
		rotated := a.LastRotatedAt != nil && a.LastRotatedAt.After(since)
		if !rotated && !tried[path] && a.State != vaultapi.RotationOpen && a.State != vaultapi.RotationSuspended {
			owed = append(owed, path)
		}
	}
	return owed
}
