package target

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// sharedBy is what an owner of a name writes into Secret db beside others.
func (b *bench) sharedBy(name string, data ...string) Desired {
	o := b.owner
	o.Name, o.UID = name, types.UID("uid-"+name)
	return b.shared(o, data...)
}

// shared pairs keys and values: "k=v".
func (b *bench) shared(o Owner, data ...string) Desired {
	d := Desired{Owner: o, Name: "db", Shared: true, Data: map[string][]byte{}}
	for _, pair := range data {
		k, v, _ := strings.Cut(pair, "=")
		d.Data[k] = []byte(v)
	}
	return d
}

// share applies and returns the conflicts as text.
func (b *bench) share(d Desired) string {
	b.t.Helper()
	left, err := b.Apply(b.t.Context(), d)
	if err != nil {
		b.t.Fatalf("share: %v", err)
	}
	return conflictText(left.Conflicts)
}

func conflictText(all []Conflict) string {
	var out []string
	for _, c := range all {
		out = append(out, c.Key+":"+c.Manager)
	}
	return strings.Join(out, " ")
}

// foreign makes Secret db as somebody else would, by server-side apply.
func (b *bench) foreign(manager string, data map[string]string) {
	b.t.Helper()
	raw := map[string][]byte{}
	for k, v := range data {
		raw[k] = []byte(v)
	}
	_, err := b.core.Secrets(b.owner.Namespace).Apply(b.t.Context(), corev1ac.Secret("db", b.owner.Namespace).WithData(raw), metav1.ApplyOptions{FieldManager: manager})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) gone() {
	b.t.Helper()
	if _, err := b.core.Secrets(b.owner.Namespace).Get(b.t.Context(), "db", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		b.t.Fatalf("still there: %v", err)
	}
}

func (b *bench) release(d Desired, retain bool) {
	b.t.Helper()
	if err := b.Release(b.t.Context(), d.Owner, "db", retain); err != nil {
		b.t.Fatalf("release: %v", err)
	}
}

// untouched fails if f changes the Secret.
func (b *bench) untouched(why string, f func()) {
	b.t.Helper()
	before := b.get().ResourceVersion
	f()
	if b.get().ResourceVersion != before {
		b.t.Errorf("%s: the Secret was written", why)
	}
}

// Two owners and somebody else each keep their keys; a key that another holds is reported and not touched; what
// somebody else does to his keys is none of our business; the Secret goes with the last of us, if we made it.
func TestSharedLife(t *testing.T) {
	b := newBench(t)
	one, two := b.sharedBy("one", "a=1", "common=1"), b.sharedBy("two", "b=2", "common=2")
	one.Labels, two.Labels = map[string]string{"team": "pay"}, map[string]string{"team": "ops", "two": "x"}
	if got := b.share(one); got != "" {
		t.Fatalf("conflicts of the first: %s", got)
	}
	b.foreign("argocd", map[string]string{"c": "3"})
	if got := b.share(two); got != "common:scaivault/VaultSecret/one metadata.labels[team]:scaivault/VaultSecret/one" {
		t.Fatalf("conflicts of the second: %s", got)
	}
	s := b.want(map[string]string{"a": "1", "b": "2", "c": "3", "common": "1"})
	if len(s.OwnerReferences) != 0 || s.Labels["team"] != "pay" || s.Labels["two"] != "x" || s.Labels[v1alpha1.LabelManaged] != "true" {
		t.Errorf("metadata %+v", s.ObjectMeta)
	}
	if s.Annotations[KeysAnnotation(one.Owner)] != "a,common" || s.Annotations[KeysAnnotation(two.Owner)] != "b" {
		t.Errorf("annotations %v", s.Annotations)
	}
	b.share(one) // the first apply after a Create also takes away what Create left in managedFields
	b.untouched("applied again", func() { b.share(one); b.share(two) })

	// New values, a key less, a key more: of ours only.
	one.Data = map[string][]byte{"a": []byte("1b"), "d": []byte("4")}
	b.share(one)
	b.want(map[string]string{"a": "1b", "b": "2", "c": "3", "d": "4"})
	if got := b.share(two); got != "metadata.labels[team]:scaivault/VaultSecret/one" {
		t.Errorf("a key that was given back is still a conflict: %s", got)
	}
	b.want(map[string]string{"a": "1b", "b": "2", "c": "3", "d": "4", "common": "2"})

	b.release(one, false)
	s = b.want(map[string]string{"b": "2", "c": "3", "common": "2"})
	if _, marked := s.Annotations[KeysAnnotation(one.Owner)]; marked || s.Labels["team"] != "" || s.Labels[v1alpha1.LabelManaged] != "true" {
		t.Errorf("after the first left: %v %v", s.Labels, s.Annotations)
	}
	b.release(two, false) // c is somebody else's: the Secret stays
	s = b.want(map[string]string{"c": "3"})
	for name := range maps.Keys(s.Annotations) {
		t.Errorf("annotation %s is left", name)
	}
	if len(s.Labels) != 0 || slices.ContainsFunc(s.ManagedFields, func(e metav1.ManagedFieldsEntry) bool { return strings.HasPrefix(e.Manager, "scaivault/") }) {
		t.Errorf("marks are left: %v %v", s.Labels, s.ManagedFields)
	}
}

// A Secret that we made goes with our last key; one that somebody else made stays, empty or not.
func TestSharedEnd(t *testing.T) {
	b := newBench(t)
	one, two := b.sharedBy("one", "a=1"), b.sharedBy("two", "b=2")
	b.share(one)
	b.share(two)
	b.release(one, false) // the maker leaves first
	b.want(map[string]string{"b": "2"})
	b.release(two, false)
	b.gone()

	b.foreign("argocd", nil)
	b.share(one)
	b.release(one, false)
	b.want(map[string]string{})
}

// An edit by hand of a key of ours is repaired, whatever it did: another value, no key, no mark; and what the editor
// did to other keys stays.
func TestSharedEdits(t *testing.T) {
	b := newBench(t)
	d := b.sharedBy("one", "a=1", "b=2")
	b.share(d)
	mark := KeysAnnotation(d.Owner)
	for name, edit := range map[string]string{
		"value":                   `{"data":{"a":"aGFja2Vk"}}`,
		"the value that it had":   `{"data":{"a":"aGFja2Vk"}}`,
		"key":                     `{"data":{"b":null}}`,
		"mark":                    `{"metadata":{"annotations":{"` + mark + `":null}}}`,
		"another mark":            `{"metadata":{"annotations":{"` + mark + `":"zzz"}}}`,
		"label":                   `{"metadata":{"labels":{"scaivault.io/managed":null}}}`,
		"value and label":         `{"metadata":{"labels":{"scaivault.io/managed":"no"}},"data":{"a":"aGFja2Vk","b":"aGFja2Vk"}}`,
		"all fields nobody's own": `{"metadata":{"managedFields":[{}]}}`,
	} {
		b.patch(edit)
		if name == "the value that it had" {
			b.patch(`{"data":{"a":"MQ=="}}`)
		}
		if !b.Disturbed(withoutData(d), stateOf(b.get()), nil, b.get()) {
			t.Errorf("%s: not seen", name)
		}
		if got := b.share(d); got != "" {
			t.Errorf("%s: conflicts %s", name, got)
		}
		s := b.want(map[string]string{"a": "1", "b": "2"})
		if s.Annotations[mark] != "a,b" || s.Labels[v1alpha1.LabelManaged] != "true" {
			t.Errorf("%s: %v %v", name, s.Labels, s.Annotations)
		}
		if b.Disturbed(withoutData(d), stateOf(s), nil, s) {
			t.Errorf("%s: still disturbed after the repair", name)
		}
	}
	b.patch(`{"metadata":{"labels":{"theirs":"x"}},"data":{"theirs":"eA=="}}`)
	if s := b.get(); b.Disturbed(withoutData(d), stateOf(s), nil, s) {
		t.Error("a key of somebody else concerns us")
	}
	b.untouched("a key of somebody else", func() { b.share(d) })

	// A key that is wanted no more goes, also when somebody edited it last.
	b.patch(`{"data":{"b":"aGFja2Vk"}}`)
	delete(d.Data, "b")
	b.share(d)
	b.want(map[string]string{"a": "1", "theirs": "x"})
}

func withoutData(d Desired) Desired {
	d.Data = nil
	return d
}

// Keys that others hold, by whatever means, are left to them, and taken when they are free or handed over.
func TestSharedConflicts(t *testing.T) {
	b := newBench(t)
	b.foreign("argocd", map[string]string{"a": "x", "b": "x"})
	b.patch(`{"data":{"c":"eA=="}}`)
	d := b.sharedBy("one", "a=1", "b=2", "c=3", "d=4")
	left, err := b.Apply(t.Context(), d)
	if err != nil || conflictText(left.Conflicts) != "a:argocd b:argocd c:kubectl-edit" {
		t.Fatalf("%v %s", err, conflictText(left.Conflicts))
	}
	b.want(map[string]string{"a": "x", "b": "x", "c": "x", "d": "4"})
	at := left.State
	if b.Disturbed(withoutData(d), at, left.Conflicts, b.get()) {
		t.Error("disturbed by standing conflicts")
	}

	b.foreign("argocd", map[string]string{"a": "x"}) // b is let go
	if !b.Disturbed(withoutData(d), at, left.Conflicts, b.get()) {
		t.Error("a key that became free was not seen")
	}
	if got := b.share(d); got != "a:argocd c:kubectl-edit" {
		t.Errorf("conflicts %s", got)
	}
	b.want(map[string]string{"a": "x", "b": "2", "c": "x", "d": "4"})

	b.patch(`{"metadata":{"annotations":{"scaivault.io/adopt":"another"}}}`)
	b.untouched("handed over to another", func() { b.share(d) })
	b.patch(`{"metadata":{"annotations":{"scaivault.io/adopt":"one"}}}`)
	if got := b.share(d); got != "" {
		t.Errorf("conflicts after the hand-over: %s", got)
	}
	s := b.want(map[string]string{"a": "1", "b": "2", "c": "3", "d": "4"})
	if s.Annotations[v1alpha1.AnnotationAdopt] != "" {
		t.Error("the offer stands after it was taken")
	}

	// Where all is held by others, nothing is written, not even a mark.
	other := b.sharedBy("other", "a=1")
	b.untouched("all is held by others", func() {
		left, err := b.Apply(t.Context(), other)
		if err != nil || left.Name != "" || left.Wrote || len(left.Conflicts) != 1 {
			t.Errorf("%+v %v", left, err)
		}
	})
	// Two who each name a key as theirs do not fight.
	b.patch(`{"metadata":{"annotations":{"` + KeysAnnotation(other.Owner) + `":"a"}}}`)
	loser := d
	if KeysAnnotation(d.Owner) < KeysAnnotation(other.Owner) {
		loser = other
	}
	for range 2 {
		b.share(d)
		b.share(other)
	}
	if got := b.share(loser); !strings.HasPrefix(got, "a:") {
		t.Errorf("both have it: %s", got)
	}
	b.untouched("peace", func() { b.share(d); b.share(other) })
}

// What cannot be without a replacement is told, and nothing is written.
func TestSharedRefusals(t *testing.T) {
	b := newBench(t)
	d := b.sharedBy("one", "a=1")
	exclusive := b.desired(map[string]string{"x": "y"})
	refused := func(why, says string) {
		t.Helper()
		b.untouched(why, func() {
			_, err := b.Apply(t.Context(), d)
			if !reconcile.IsStalled(err) || reconcile.ReasonOf(err) != v1alpha1.ReasonConflict || !strings.Contains(err.Error(), says) {
				t.Errorf("%s: got %v", why, err)
			}
		})
	}
	b.apply(exclusive)
	refused("Exclusive of another", "belongs to VaultSecret db alone; set spec.target.mode to Shared there")
	b.release(exclusive, false)

	b.foreign("argocd", map[string]string{"c": "3"})
	d.Type = corev1.SecretTypeTLS
	refused("type", "is of type Opaque and not kubernetes.io/tls")
	d.Type = ""
	b.share(d)
	b.release(d, false)
	b.patch(`{"immutable":true}`)
	refused("immutable", "is immutable")

	renew := func(of corev1.SecretType, data map[string]string) {
		_ = b.core.Secrets(b.owner.Namespace).Delete(t.Context(), "db", metav1.DeleteOptions{})
		_, err := b.core.Secrets(b.owner.Namespace).Create(t.Context(), &corev1.Secret{
			ObjectMeta: metav1.ObjectMeta{Name: "db"}, Type: of, StringData: data}, metav1.CreateOptions{FieldManager: "helm"})
		if err != nil {
			t.Fatal(err)
		}
	}
	// Mistake 15: what makes Kubernetes or Helm act is not written to, by whosever hand it was made.
	for _, of := range []corev1.SecretType{"helm.sh/release.v1", corev1.SecretTypeBootstrapToken, "example.com/other"} {
		renew(of, map[string]string{"x": "y"})
		b.untouched(string(of), func() {
			if _, err := b.Apply(t.Context(), d); reconcile.ReasonOf(err) != v1alpha1.ReasonInvalidTarget {
				t.Errorf("%s: got %v", of, err)
			}
		})
	}
	_ = b.core.Secrets(b.owner.Namespace).Delete(t.Context(), "db", metav1.DeleteOptions{})
	b.foreign("argocd", map[string]string{"large": strings.Repeat("x", 1<<20-100)})
	d.Data["a"] = make([]byte, 200)
	b.untouched("size", func() {
		_, err := b.Apply(t.Context(), d)
		if reconcile.ReasonOf(err) != v1alpha1.ReasonInvalidData || !strings.Contains(err.Error(), "201 bytes beside 1048481 of others") {
			t.Errorf("got %v", err)
		}
	})
	// And an Exclusive owner does not take what others share.
	d.Data["a"] = []byte("1")
	b.share(d)
	b.untouched("Exclusive over Shared", func() {
		_, err := b.Apply(t.Context(), exclusive)
		if reconcile.ReasonOf(err) != v1alpha1.ReasonConflict || !strings.Contains(err.Error(), "is shared by others") {
			t.Errorf("got %v", err)
		}
	})
}

// Keys that were given back can be taken up by whoever comes, by the same name also where nobody else is.
func TestSharedRetain(t *testing.T) {
	b := newBench(t)
	one, two := b.sharedBy("one", "a=1"), b.sharedBy("two", "b=2")
	b.share(one)
	b.share(two)
	b.release(one, true)
	s := b.want(map[string]string{"a": "1", "b": "2"})
	if _, marked := s.Annotations[KeysAnnotation(one.Owner)]; marked || s.Annotations[v1alpha1.AnnotationAdopt] != "" {
		t.Errorf("annotations %v", s.Annotations)
	}
	one.Owner.UID = "uid-another"
	one.Data["a"] = []byte("1b")
	if got := b.share(one); got != "" {
		t.Errorf("not taken up: %s", got)
	}
	b.want(map[string]string{"a": "1b", "b": "2"})
	b.release(two, false)
	b.release(one, true)
	s = b.want(map[string]string{"a": "1b"})
	if len(s.ManagedFields) != 0 || s.Labels[v1alpha1.LabelManaged] != "" || s.Annotations[v1alpha1.AnnotationAdopt] != "one" {
		t.Errorf("%v %v %v", s.ManagedFields, s.Labels, s.Annotations)
	}
	if got := b.share(two); got != "" { // b is free; a is not wanted
		t.Errorf("conflicts %s", got)
	}
	stranger := b.sharedBy("stranger", "a=9")
	if got := b.share(stranger); !strings.HasPrefix(got, "a:") {
		t.Errorf("taken by a stranger: %q", got)
	}
	if got := b.share(one); got != "" {
		t.Errorf("not taken up again: %s", got)
	}
	b.want(map[string]string{"a": "1b", "b": "2"})
}

// A change of mode either way keeps the Secret and its content; into Exclusive only where nobody else has a part.
func TestChangeOfMode(t *testing.T) {
	b := newBench(t)
	d := b.desired(map[string]string{"a": "1", "b": "2"})
	first := b.apply(d)
	d.Owner.Made, d.Shared = first.UID, true
	delete(d.Data, "b")
	if got := b.share(d); got != "" {
		t.Fatalf("conflicts %s", got)
	}
	s := b.want(map[string]string{"a": "1"})
	if len(s.OwnerReferences) != 0 || s.UID != first.UID || s.Annotations[v1alpha1.AnnotationMade] != "true" || s.Annotations[KeysAnnotation(d.Owner)] != "a" {
		t.Fatalf("became Shared: %+v", s.ObjectMeta)
	}
	d.Owner.Made = "" // the status says Shared
	b.foreign("argocd", map[string]string{"c": "3"})
	d.Shared = false
	b.untouched("not alone", func() {
		_, err := b.Apply(t.Context(), d)
		if reconcile.ReasonOf(err) != v1alpha1.ReasonConflict || !strings.Contains(err.Error(), "others have c") {
			t.Errorf("got %v", err)
		}
	})
	b.foreign("argocd", nil)
	d.Data["b"] = []byte("2")
	second := b.apply(d)
	s = b.want(map[string]string{"a": "1", "b": "2"})
	if second.UID != first.UID || len(s.OwnerReferences) != 1 || IsShared(s) || s.Annotations[v1alpha1.AnnotationMade] != "" {
		t.Fatalf("became Exclusive: %+v", s.ObjectMeta)
	}

	// From a Secret of another type, and one that was retained.
	d.Type, d.Retain = corev1.SecretTypeBasicAuth, true
	d.Data = map[string][]byte{"username": []byte("u")}
	third := b.apply(d)
	d.Owner.Made, d.Type, d.Shared = third.UID, "", true
	d.Data["more"] = []byte("x")
	b.share(d)
	s = b.want(map[string]string{"username": "u", "more": "x"})
	if s.Type != corev1.SecretTypeBasicAuth || s.UID != third.UID || s.Annotations[v1alpha1.AnnotationAdopt] != "" {
		t.Errorf("%s %+v", s.Type, s.ObjectMeta)
	}
	b.release(d, false)
	b.gone()
}

// Whoever writes between our look and our write makes us look again: his key is not overwritten.
func TestSharedRace(t *testing.T) {
	b := newBench(t)
	b.foreign("argocd", map[string]string{"c": "3"})
	d := b.sharedBy("one", "a=1")
	stale := b.get()
	b.foreign("argocd", map[string]string{"c": "3", "a": "theirs"})
	if _, err := b.put(t.Context(), d, stale, nil); !apierrors.IsConflict(err) {
		t.Fatalf("written over a newer state: %v", err)
	}
	b.want(map[string]string{"c": "3", "a": "theirs"})
}

// Annotations and managedFields as an attacker, or a mistake, may leave them never make us panic, nor own what the
// Secret does not hold.
func TestSharedNonsense(t *testing.T) {
	o := Owner{Kind: "VaultSecret", Name: "one"}
	s := &corev1.Secret{Data: map[string][]byte{"a": nil}}
	s.Annotations = map[string]string{
		KeysAnnotation(o): ",,a,,zzz,", v1alpha1.AnnotationKeysPrefix: "a", v1alpha1.AnnotationKeysPrefix + "zz": strings.Repeat(",", 1000),
	}
	s.ManagedFields = []metav1.ManagedFieldsEntry{{}, {Manager: "x", FieldsV1: metav1.NewFieldsV1(`{"f:data":7}`)}, {Manager: "y", FieldsV1: metav1.NewFieldsV1(`{"f:data":{"a":{},".":{}}}`)}}
	d := Desired{Owner: o, Name: "db", Shared: true, Data: map[string][]byte{"a": nil, "b": nil}}
	at := look(s, o)
	p := at.plan(d, s)
	if got := fmt.Sprint(conflictText(p.conflicts), " ", len(p.data)); got != "a:scaivault.io/keys. 1" { // the nameless mark comes first
		t.Errorf("%s", got)
	}
	if at.intact(d) || len(at.parting(s, false).data) > 3 {
		t.Error("nonsense is intact")
	}
}
