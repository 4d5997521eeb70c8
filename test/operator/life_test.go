package operator_test

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// life is a ServiceAccount, a VaultPolicy and a VaultSecret, with names of their own, from their making to their end.
type life struct {
	*world
	course
	name    string
	grant   *v1alpha1.VaultPolicy
	target  v1alpha1.SecretTarget
	partner string // whom the policy lets besides the ServiceAccount
	version int    // the newest in the vault
	user    *appsv1.Deployment
}

// course is what happens in a life.
type course struct {
	kind   string
	phases []phase
}

const (
	kindAlone   = "alone"   // the target is Exclusive
	kindShared  = "shared"  // both Secrets were there before, and hold a key of somebody else
	kindRestart = "restart" // a Deployment has to be restarted
)

// phase is one thing that somebody does in a life, and what the operator makes of it.
type phase struct {
	name    string
	arrange func(*life) // may be nil
	begin   func(*life)
	end     func(*life) // waits until all is right
	cold    bool        // begin launches the operator
	policy  bool        // it is about the policy
	quiet   bool        // nobody is killed
}

func courses() []course {
	made := phase{name: "an object is made", begin: (*life).ask, end: (*life).served}
	changed := phase{name: "the secret changes", begin: (*life).write, end: (*life).served}
	renamed := phase{name: "the target is renamed", begin: (*life).rename, end: (*life).served}
	allowed := phase{name: "a policy is made", arrange: (*life).arrive, begin: (*life).permit, end: (*life).permitted, policy: true}
	deleted := phase{name: "the object is deleted", begin: (*life).leave, end: (*life).left}
	forbidden := phase{name: "the policy is deleted", begin: func(l *life) { l.remove(l.grant) }, end: (*life).forbidden, policy: true}
	quietly := func(p phase) phase {
		p.quiet = true
		return p
	}
	return []course{
		{kindAlone, []phase{
			allowed, made, changed,
			{name: "the operator starts after a change", arrange: (*life).changeUnseen, begin: func(l *life) { l.operator.Launch() }, end: (*life).served, cold: true},
			{name: "the policy changes", begin: (*life).permitOther, end: (*life).permitted, policy: true},
			renamed,
			{name: "the target's type changes", begin: (*life).retype, end: (*life).served},
			quietly(deleted), // the garbage collector does it all
			forbidden,
		}},
		{kindShared, []phase{quietly(allowed), made, changed, renamed, deleted, quietly(forbidden)}},
		{kindRestart, []phase{quietly(allowed), quietly(made), changed, quietly(deleted), quietly(forbidden)}},
	}
}

func (w *world) life(c course, name string) *life {
	return &life{world: w, course: c, name: c.kind + "-" + name}
}

func (l *life) arrive() {
	l.Helper()
	l.account(l.ns, l.name)
	l.target = v1alpha1.SecretTarget{Name: l.name}
	switch l.kind {
	case kindShared:
		l.target.Mode = v1alpha1.SharedTarget
		l.theirs(l.name, map[string]string{"theirs": "x"})
		l.theirs(l.name+"-renamed", map[string]string{"theirs": "x"})
	case kindRestart:
		l.user = l.deploy(l.name, byEnv(l.name))
	}
	l.write()
}

func (l *life) write() {
	l.Helper()
	l.version++
	l.put(l.path(l.name), map[string]any{"username": "u", "password": l.value(fmt.Sprint(l.name, "-", l.version))})
}

func (l *life) changeUnseen() {
	l.Helper()
	l.operator.Stop()
	l.write()
}

func (l *life) permit() {
	l.Helper()
	l.grant = &v1alpha1.VaultPolicy{ObjectMeta: metav1.ObjectMeta{Name: l.name}, Spec: v1alpha1.VaultPolicySpec{
		Rules:    []v1alpha1.PolicyRule{{Paths: []v1alpha1.PathPattern{v1alpha1.PathPattern(l.path(l.name))}, Permissions: []v1alpha1.Permission{"read"}}},
		Subjects: []v1alpha1.PolicySubject{serviceAccount(l.ns, l.name), serviceAccount(l.ns, "first")},
	}}
	l.partner = "first"
	if err := l.kube.Create(l.Context(), l.grant); err != nil {
		l.Fatal(err)
	}
}

// permitOther changes rules and subjects at once.
func (l *life) permitOther() {
	l.Helper()
	base := l.grant.DeepCopy()
	l.grant.Spec.Rules[0].Permissions = append(l.grant.Spec.Rules[0].Permissions, "list")
	l.grant.Spec.Subjects[1].Name = "second"
	l.partner = "second"
	if err := l.kube.Patch(l.Context(), l.grant, kube.MergeFrom(base)); err != nil {
		l.Fatal(err)
	}
}

// permitted waits until the vault holds what the VaultPolicy says, once, and the VaultPolicy knows.
func (l *life) permitted() {
	l.Helper()
	bound := identities([]vaultapi.Binding{{IdentityID: "sa:" + l.ns + ":" + l.name}, {IdentityID: "sa:" + l.ns + ":" + l.partner}})
	want := fmt.Sprintf("generation %d True/Applied, %d permissions, %s", l.grant.Generation, len(l.grant.Spec.Rules[0].Permissions), bound)
	l.until("policy of "+l.name, want, func() string {
		p := &v1alpha1.VaultPolicy{}
		if err := l.kube.Get(l.Context(), keyOf(l.grant), p); err != nil {
			return err.Error()
		}
		have, err := l.admin.Policies.Get(l.Context(), "home."+l.name)
		if err != nil {
			return err.Error()
		}
		return fmt.Sprintf("generation %d %s, %d permissions, %s", p.Status.ObservedGeneration, ready(p), len(have.Rules[0].Permissions), identities(have.Bindings))
	})
}

func (l *life) ask() {
	l.Helper()
	l.create(l.name, l.path(l.name), func(s *v1alpha1.VaultSecretSpec) {
		s.ServiceAccountName, s.Target = l.name, &l.target
		if l.kind == kindRestart {
			restarting(brief)(s)
		}
	})
}

func (l *life) rename() {
	l.Helper()
	l.target.Name += "-renamed"
	l.change(l.name, target(l.target))
}

func (l *life) retype() {
	l.Helper()
	l.target.Type = "kubernetes.io/basic-auth"
	l.change(l.name, target(l.target))
}

// served waits until the target holds the newest version, no other Secret holds anything of it, the status knows, and
// the consumer was restarted once for each version but the first.
func (l *life) served() {
	l.Helper()
	l.until("Secrets of "+l.name, l.due(), func() string {
		v := l.get(l.name)
		secrets, known := l.secrets(), ""
		for _, s := range secrets {
			t := v.Status.Target // of a Shared one, what others write is nothing to write down
			if t != nil && t.Name == s.Name && t.UID == string(s.UID) && (l.kind == kindShared || t.ResourceVersion == s.ResourceVersion) {
				known = s.Name
			}
		}
		if v.Status.ObservedGeneration != v.Generation || len(v.Status.Synced) != 1 {
			return shown(secrets) + ", status of before"
		}
		return fmt.Sprintf("%s, of which the status knows %s as version %d, %s", shown(secrets), known, v.Status.Synced[0].Version, ready(v))
	})
	if l.kind == kindRestart {
		l.are(l.version, l.user)
	}
}

// due is what served waits for.
func (l *life) due() string {
	mine := fmt.Sprintf("password=value-of-%s-%s-%d", l.ns, l.name, l.version)
	all := map[string]string{l.target.Name: mine + " username=u"}
	if l.kind == kindShared {
		all = map[string]string{l.name: "theirs=x", l.name + "-renamed": "theirs=x"}
		all[l.target.Name] = mine + " theirs=x username=u"
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		managed := name == l.target.Name
		out = append(out, fmt.Sprintf("%s %s managed %t: %s", name, cmp.Or(l.target.Type, string(corev1.SecretTypeOpaque)), managed, all[name]))
	}
	return fmt.Sprintf("%s, of which the status knows %s as version %d, True/Synced", strings.Join(out, ", "), l.target.Name, l.version)
}

// secrets are those of a life, whatever their name; names of lives are no beginnings of each other.
func (l *life) secrets() []corev1.Secret {
	l.Helper()
	all := &corev1.SecretList{}
	if err := l.kube.List(l.Context(), all, kube.InNamespace(l.ns)); err != nil {
		l.Fatal(err)
	}
	return slices.DeleteFunc(all.Items, func(s corev1.Secret) bool { return !strings.HasPrefix(s.Name, l.name) })
}

func shown(all []corev1.Secret) string {
	var out []string
	for _, s := range all {
		out = append(out, fmt.Sprintf("%s %s managed %t: %s", s.Name, s.Type, s.Labels[v1alpha1.LabelManaged] != "", content(&s)))
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (l *life) leave() {
	l.Helper()
	l.remove(l.get(l.name))
}

func (l *life) left() {
	l.Helper()
	l.ended(&v1alpha1.VaultSecret{}, l.key(l.name))
	if l.kind == kindShared {
		want := l.name + " Opaque managed false: theirs=x, " + l.name + "-renamed Opaque managed false: theirs=x"
		l.until("Secrets of "+l.name, want, func() string { return shown(l.secrets()) })
	}
}

// ended waits until an object is gone.
func (w *world) ended(o kube.Object, key kube.ObjectKey) {
	w.Helper()
	w.until(fmt.Sprintf("%T %s", o, key), "gone", func() string {
		err := w.kube.Get(w.Context(), key, o)
		if apierrors.IsNotFound(err) {
			return "gone"
		}
		return fmt.Sprint("there ", err)
	})
}

// forbidden waits until neither cluster nor vault holds the policy.
func (l *life) forbidden() {
	l.Helper()
	l.ended(&v1alpha1.VaultPolicy{}, keyOf(l.grant))
	l.until("policy of "+l.name, "policy_not_found", func() string {
		_, err := l.admin.Policies.Get(l.Context(), "home."+l.name)
		return vaultapi.Code(err)
	})
}

// nothingOwned waits until neither a namespace nor the vault holds what the operator made for objects.
func (w *world) nothingOwned(ns string) {
	w.Helper()
	w.until("what is left in "+ns+" and in the vault", "", func() string {
		secrets := &corev1.SecretList{}
		if err := w.kube.List(w.Context(), secrets, kube.InNamespace(ns), kube.HasLabels{v1alpha1.LabelManaged}); err != nil {
			return err.Error()
		}
		var left []string
		for _, s := range secrets.Items {
			left = append(left, "Secret "+s.Name)
		}
		return strings.Join(left, ", ") + w.ownedInVault()
	})
}

// ownedInVault is every policy that the vault holds for VaultPolicies of this cluster, with whom it is bound to.
func (w *world) ownedInVault() string {
	l, err := w.admin.Policies.List(w.Context(), client.PolicyFilter{Owner: "k8s:home/VaultPolicy", IncludeInactive: true})
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, p := range l.Policies {
		bound, err := w.admin.Policies.Bindings(w.Context(), p.ID)
		if err != nil {
			return err.Error()
		}
		out = append(out, p.Name+" "+identities(bound.Bindings))
	}
	return strings.Join(out, ", ")
}

// subscriptions counts the operator's in the vault.
func (w *world) subscriptions() int {
	w.Helper()
	l, err := w.admin.Subscriptions.List(w.Context(), client.SubscriptionFilter{})
	if err != nil {
		w.Fatal(err)
	}
	n := 0
	for _, s := range l.Subscriptions {
		if strings.HasPrefix(s.Owner, "k8s:home/Operator/") {
			n++
		}
	}
	return n
}

// made counts how often a Secret of each name was made.
func (tr *trail) made() map[string]int {
	n := map[string]int{}
	for _, s := range tr.all() {
		if s.kind == watch.Added {
			n[s.obj.GetName()]++
		}
	}
	return n
}

func identities(bindings []vaultapi.Binding) string {
	var ids []string
	for _, b := range bindings {
		ids = append(ids, b.IdentityID)
	}
	slices.Sort(ids)
	return strings.Join(ids, " ")
}
