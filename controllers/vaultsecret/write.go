package vaultsecret

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/target"
)

// write renders the content and makes the target equal to it, unless nothing changed. After a rename the
// Secret of the old name is given up before the status forgets it.
func (s *run) write(ctx context.Context) error {
	if s.same {
		return nil
	}
	data, err := render(&s.obj.Spec, s.values, s.Now)
	if err != nil {
		return err
	}
	d := s.desired(data)
	at, err := s.Writer.Apply(ctx, d)
	if err != nil {
		return err
	}
	if old := recorded(s.obj.Status.Target).Name; old != "" && old != d.Name {
		if err := s.Writer.Release(ctx, d.Owner, old, d.Retain); err != nil {
			return err
		}
	}
	s.note(at)
	return nil
}

func (s *run) desired(data map[string][]byte) target.Desired {
	d := target.Desired{
		Owner: s.owner(), Name: s.obj.TargetName(), Data: data,
		Retain: s.obj.Spec.WhenDeleted == v1alpha1.RetainTarget,
	}
	if t := s.obj.Spec.Target; t != nil {
		d.Type, d.Immutable = corev1.SecretType(t.Type), t.Immutable
		d.Labels, d.Annotations = texts(t.Labels), texts(t.Annotations)
	}
	return d
}

func texts[V ~string](m map[string]V) map[string]string {
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[k] = string(v)
	}
	return out
}

// note records what the target holds now. The time moves only when something was applied.
func (s *run) note(at target.State) {
	st := &s.obj.Status
	before := recorded(st.Target)
	st.Binding = &v1alpha1.BindingReference{Name: at.Name}
	st.Target = &v1alpha1.TargetStatus{Name: at.Name, UID: string(at.UID), ResourceVersion: at.ResourceVersion}
	st.Synced, st.SyncedCount = s.synced(), int32(len(s.obj.Spec.Sources))
	if s.wrote = at != before; s.wrote {
		now := metav1.NewTime(s.Now())
		st.LastSyncTime = &now
	}
}

func (s *run) synced() []v1alpha1.SyncedSource {
	var out []v1alpha1.SyncedSource
	for _, src := range s.obj.Spec.Sources {
		if len(out) == v1alpha1.StatusListLimit {
			break
		}
		v := s.values[src.Name]
		out = append(out, v1alpha1.SyncedSource{Source: src.Name, Path: string(src.Path), Version: v.version, ETag: v.etag})
	}
	return out
}
