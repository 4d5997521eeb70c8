package operator_test

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// A namespace is deleted while the vault is down, and policies with it. They end without the vault. Once it is back,
// nothing in it belongs to what is gone: neither a policy, nor a binding of a ServiceAccount of the namespace; neither
// where an operator saw the end, nor where it was started later. (field.md 19: what outlives what it was made for)
func TestMistake19NamespaceDeletedWhileTheVaultIsDown(t *testing.T) {
	w := running(t)
	mine := w.ns
	doomed := w.namespace("doomed", map[string]string{"team": mine})
	w.kubectl("label", "namespace", mine, "team="+mine)
	both := w.policy([]v1alpha1.PathPattern{"apps/{namespace}/**"}, v1alpha1.PolicySubject{
		Kind: v1alpha1.SubjectServiceAccounts, NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"team": mine}}, Name: "app"})
	seen := w.policy([]v1alpha1.PathPattern{"apps/x"}, serviceAccount(doomed, "app"))
	unseen := w.policy([]v1alpha1.PathPattern{"apps/y"}, serviceAccount(doomed, "app"))
	for _, p := range []*v1alpha1.VaultPolicy{both, seen, unseen} {
		w.policyIs(p, "True/Applied")
	}
	for _, ns := range []string{mine, doomed} {
		w.ns = ns
		w.put(w.path("s"), map[string]any{"k": "1"})
		w.create("s", w.path("s"))
		w.create("retained", w.path("s"), func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget })
		w.synced("s", "retained")
	}
	w.ns = mine

	w.vault.Kill()
	w.kubectl("delete", "namespace", doomed, "--wait=false")
	w.remove(seen)
	w.ended(&v1alpha1.VaultPolicy{}, keyOf(seen))
	w.ended(&corev1.Namespace{}, keyOf(&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: doomed}}))
	w.operator.Kill()
	w.remove(unseen)
	w.operator.Start()

	w.vault.Start()
	w.until("what the vault holds for this cluster", "home."+both.Name+" sa:"+mine+":app", w.ownedInVault)
	w.put(w.path("s"), map[string]any{"k": "2"})
	w.holds("s", "k=2")
	w.synced("s", "retained")
	w.remove(both)
	w.until("what the vault holds for this cluster", "", w.ownedInVault)
}
