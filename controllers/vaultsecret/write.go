package vaultsecret

import (
	"context"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/target"
)

// conflictRecheck is how often it is tried again to get what others hold: the watch shows only Secrets in which
// something is ours.
const conflictRecheck = 15 * time.Second

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
	d := desired(&s.obj, data)
	left, err := s.Writer.Apply(ctx, d)
	if err != nil {
		return err
	}
	if recorded(s.obj.Status.Target).Name != d.Name && left.Name != "" {
		if err := s.releaseBut(ctx, d.Name); err != nil {
			return err
		}
	}
	s.note(left)
	return nil
}

// releaseBut gives up every Secret in which something is the object's but one: that of the name which the status
// records, and those that an operator wrote which ended before it could record them. Only a spec that was changed can
// have named others.
func (s *run) releaseBut(ctx context.Context, keep string) error {
	names := []string{recorded(s.obj.Status.Target).Name}
	if s.obj.Generation > 1 {
		strays, err := s.Writer.Strays(ctx, s.owner(), names[0])
		if err != nil {
			return err
		}
		names = append(names, strays...)
	}
	for _, name := range names {
		if name == "" || name == keep {
			continue
		}
		if err := s.Writer.Release(ctx, s.owner(), name, s.obj.Spec.WhenDeleted == v1alpha1.RetainTarget); err != nil {
			return err
		}
	}
	return nil
}

// report ends the run of an object that could not write everything: others hold some of it.
func (s *run) report(context.Context) error {
	st, name := &s.obj.Status, s.obj.TargetName()
	if len(st.Conflicts) == 0 {
		return nil
	}
	rest := "the rest is applied"
	if recorded(st.Target).Name != name {
		rest = "nothing is left to apply"
	}
	return reconcile.StalledFor(v1alpha1.ReasonConflict, s.recheck(), fmt.Errorf(
		"others hold %d of the keys that this object wants in Secret %s, such as %s (%s); %s; leave them out here, delete them there, or take them over: kubectl -n %s annotate secret %s %s=%s",
		st.ConflictCount, name, st.Conflicts[0].Key, st.Conflicts[0].Manager, rest, s.obj.Namespace, name, v1alpha1.AnnotationAdopt, s.obj.Name))
}

// recheck is when to look again at what others hold, 0 where the watch tells: something in the Secret is ours, and
// Kubernetes knows whose the rest is.
func (s *run) recheck() time.Duration {
	st := &s.obj.Status
	strange := func(c v1alpha1.KeyConflict) bool { return c.Manager == target.Unknown }
	if recorded(st.Target).Name != s.obj.TargetName() || slices.ContainsFunc(st.Conflicts, strange) {
		return conflictRecheck
	}
	return 0
}

// shares tells whether something in a Secret may be the object's beside others, which no owner reference cleans up.
func shares(obj *v1alpha1.VaultSecret) bool {
	t := obj.Status.Target
	return obj.Shared() || t != nil && t.Mode == v1alpha1.SharedTarget
}

// targetNames are the targets that an object has or had.
func targetNames(obj *v1alpha1.VaultSecret) []string {
	all := []string{obj.TargetName()}
	if was := recorded(obj.Status.Target).Name; was != "" {
		all = append(all, was)
	}
	return all
}

// desired is the target of an object, with what it is to hold.
func desired(obj *v1alpha1.VaultSecret, data map[string][]byte) target.Desired {
	d := target.Desired{
		Owner: ownerOf(obj), Name: obj.TargetName(), Data: data, Shared: obj.Shared(),
		Retain: obj.Spec.WhenDeleted == v1alpha1.RetainTarget,
	}
	if t := obj.Spec.Target; t != nil {
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

// note records what the target holds now. The time moves only when something was applied. What others do to a
// Shared target changes its resourceVersion, and is nothing to write down.
func (s *run) note(left target.Result) {
	st := &s.obj.Status
	s.noteConflicts(left.Conflicts)
	if left.Name == "" { // all that is wanted is held by others
		if recorded(st.Target).Name == s.obj.TargetName() {
			s.forget()
		}
		return
	}
	before := recorded(st.Target)
	s.wrote = left.Wrote || s.wroteEarlier(before, left.State)
	s.differs = left.State != before
	st.Binding = &v1alpha1.BindingReference{Name: left.Name}
	if mode := s.mode(); s.wrote || mode == "" || before.UID != left.UID {
		st.Target = &v1alpha1.TargetStatus{Name: left.Name, UID: string(left.UID), ResourceVersion: left.ResourceVersion, Mode: mode}
	}
	s.remember(applied(s.state(), st.Synced, s.wrote, s.Now()))
	if s.wrote || st.LastSyncTime == nil {
		now := metav1.NewTime(s.Now())
		st.LastSyncTime = &now
	}
}

// wroteEarlier tells whether a run before this one wrote and could not say so: the Secret is not as the status has
// it. What others do to a Shared one shows there as well, unless the vault's secrets are others than the status has.
func (s *run) wroteEarlier(before, left target.State) bool {
	return left != before && (!s.obj.Shared() || digest(s.state()) != s.obj.Status.SyncedDigest)
}

// mode is what the status says of the target; Exclusive is the absence of a word.
func (s *run) mode() v1alpha1.TargetMode {
	if s.obj.Shared() {
		return v1alpha1.SharedTarget
	}
	return ""
}

func (s *run) noteConflicts(all []target.Conflict) {
	st := &s.obj.Status
	st.Conflicts, st.ConflictCount = nil, int32(len(all))
	for _, c := range all[:min(len(all), v1alpha1.StatusListLimit)] {
		st.Conflicts = append(st.Conflicts, v1alpha1.KeyConflict{Key: c.Key, Manager: c.Manager})
	}
}

// reported are the conflicts that the status tells of.
func reported(obj *v1alpha1.VaultSecret) []target.Conflict {
	var all []target.Conflict
	for _, c := range obj.Status.Conflicts {
		all = append(all, target.Conflict{Key: c.Key, Manager: c.Manager})
	}
	return all
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

// applied says of each secret when the content of the target changed with it: now, if its version is another and the
// target was written; otherwise as before.
func applied(is, was []v1alpha1.SyncedSource, wrote bool, now time.Time) []v1alpha1.SyncedSource {
	before := make(map[[2]string]v1alpha1.SyncedSource, len(was))
	for _, y := range was {
		before[[2]string{y.Source, y.Path}] = y
	}
	for i := range is {
		y := &is[i]
		b, known := before[[2]string{y.Source, y.Path}]
		if y.AppliedAt = b.AppliedAt; wrote && (!known || b.ETag != y.ETag) {
			y.AppliedAt = &metav1.Time{Time: now}
		}
	}
	return is
}

// forget is for a target that is there no more.
func (s *run) forget() {
	st := &s.obj.Status
	st.Target, st.Binding, st.Synced, st.SyncedCount, st.SyncedDigest = nil, nil, nil, 0, ""
	s.beyond.Delete(s.obj.UID)
}
