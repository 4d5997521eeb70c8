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
	data, err := render(&s.obj.Spec, s.values(), s.Now)
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
	s.remember(s.state())
	if at != before {
		now := metav1.NewTime(s.Now())
		st.LastSyncTime = &now
	}
}

// remember puts into the status what the target holds, and what it has no room for into memory.
func (s *run) remember(all []v1alpha1.SyncedSource) {
	st, room := &s.obj.Status, min(len(all), v1alpha1.StatusListLimit)
	st.Synced, st.SyncedCount, st.SyncedDigest = all[:room], int32(len(all)), digest(all)
	if len(all) == room {
		s.beyond.Delete(s.obj.UID)
		return
	}
	s.beyond.Store(s.obj.UID, all[room:])
}

// forget is for a target that is there no more.
func (s *run) forget() {
	st := &s.obj.Status
	st.Target, st.Binding, st.Synced, st.SyncedCount, st.SyncedDigest = nil, nil, nil, 0, ""
	s.beyond.Delete(s.obj.UID)
}
