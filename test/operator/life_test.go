package operator_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

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
	name    string
	grant   *v1alpha1.VaultPolicy
	target  v1alpha1.SecretTarget
	partner string // whom the policy lets besides the ServiceAccount
	version int    // the newest in the vault
}

// phase is one thing that somebody does in a life, and what the operator makes of it.
type phase struct {
	name    string
	arrange func(*life) // may be nil
	begin   func(*life)
	end     func(*life) // waits until all is right
	cold    bool        // begin launches the operator
}

func phases() []phase {
	return []phase{
		{name: "a policy is made", arrange: (*life).arrive, begin: (*life).permit, end: (*life).permitted},
		{name: "an object is made", begin: (*life).ask, end: (*life).served},
		{name: "the secret changes", begin: (*life).write, end: (*life).served},
		{name: "the operator starts after a change", arrange: (*life).changeUnseen, begin: func(l *life) { l.operator.Launch() }, end: (*life).served, cold: true},
		{name: "the policy changes", begin: (*life).permitOther, end: (*life).permitted},
		{name: "the target is renamed", begin: func(l *life) { l.retarget(v1alpha1.SecretTarget{Name: l.name + "-renamed"}) }, end: (*life).served},
		{name: "the target's type changes", begin: func(l *life) {
			l.retarget(v1alpha1.SecretTarget{Name: l.name + "-renamed", Type: "kubernetes.io/basic-auth"})
		}, end: (*life).served},
		{name: "the object is deleted", begin: (*life).leave, end: (*life).left},
		{name: "the policy is deleted", begin: func(l *life) { l.remove(l.grant) }, end: (*life).forbidden},
	}
}

func (l *life) arrive() {
	l.Helper()
	l.account(l.ns, l.name)
	l.target = v1alpha1.SecretTarget{Name: l.name}
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
	l.create(l.name, l.path(l.name), func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName, s.Target = l.name, &l.target })
}

func (l *life) retarget(t v1alpha1.SecretTarget) {
	l.Helper()
	l.target = t
	l.change(l.name, target(t))
}

// served waits until the target holds the newest version, is the only Secret of the object, and the status knows.
func (l *life) served() {
	l.Helper()
	kind := cmp.Or(l.target.Type, string(corev1.SecretTypeOpaque))
	want := fmt.Sprintf("%s %s password=value-of-%s-%s-%d username=u, version %d, True/Synced", l.target.Name, kind, l.ns, l.name, l.version, l.version)
	l.until("Secrets of "+l.name, want, func() string {
		v := l.get(l.name)
		var out []string
		for _, s := range l.owned(v) {
			out = append(out, fmt.Sprintf("%s %s %s", s.Name, s.Type, content(&s)))
			if t := v.Status.Target; t == nil || t.UID != string(s.UID) || t.ResourceVersion != s.ResourceVersion {
				out = append(out, "which the status does not know")
			}
		}
		if v.Status.ObservedGeneration != v.Generation || len(v.Status.Synced) != 1 {
			return strings.Join(out, ", ") + ", status of before"
		}
		return fmt.Sprintf("%s, version %d, %s", strings.Join(out, ", "), v.Status.Synced[0].Version, ready(v))
	})
}

// owned is every Secret that a VaultSecret owns, whatever its name.
func (w *world) owned(v *v1alpha1.VaultSecret) []corev1.Secret {
	w.Helper()
	l := &corev1.SecretList{}
	if err := w.kube.List(w.Context(), l, kube.InNamespace(v.Namespace), kube.HasLabels{v1alpha1.LabelManaged}); err != nil {
		w.Fatal(err)
	}
	var out []corev1.Secret
	for _, s := range l.Items {
		if metav1.IsControlledBy(&s, v) {
			out = append(out, s)
		}
	}
	return out
}

func (l *life) leave() {
	l.Helper()
	l.remove(l.get(l.name))
}

func (l *life) left() {
	l.Helper()
	l.ended(&v1alpha1.VaultSecret{}, l.key(l.name))
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
		policies, err := w.admin.Policies.List(w.Context(), client.PolicyFilter{Owner: "k8s:home/VaultPolicy", IncludeInactive: true})
		if err != nil {
			return err.Error()
		}
		var left []string
		for _, s := range secrets.Items {
			left = append(left, "Secret "+s.Name)
		}
		for _, p := range policies.Policies {
			left = append(left, "policy "+p.Name)
		}
		return strings.Join(left, ", ")
	})
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
