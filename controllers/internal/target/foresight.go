package target

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Foresight is what Apply would do to the keys of an existing Secret.
type Foresight struct {
	Data      map[string][]byte // what it would write
	Removed   []string          // keys that would go
	Conflicts []Conflict        // what of a Shared Secret it would leave to others
}

// Foresee tells what Apply would do to a Secret as it stands, without doing it. The error is why it would write
// nothing; it is found by metadata alone, if that is all that got has.
func Foresee(d Desired, got *corev1.Secret) (Foresight, error) {
	if d.Shared {
		p := look(got, d.Owner).plan(d, got)
		return Foresight{Data: p.data, Removed: p.surplus, Conflicts: p.conflicts}, shareRefusal(d, got)
	}
	f := Foresight{Data: d.Data}
	for k := range got.Data {
		if _, kept := d.Data[k]; !kept {
			f.Removed = append(f.Removed, k)
		}
	}
	slices.Sort(f.Removed)
	switch {
	case got.DeletionTimestamp != nil:
		return f, beingDeleted(d)
	case stand(got, d.Owner) != foreign:
		return f, nil
	}
	if _, shared := listed(got, KeysAnnotation(d.Owner)); shared {
		return f, reclaimRefusal(d, got)
	}
	return f, describe(got, d.Owner)
}
