package operator_test

import (
	"context"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/controlplane"
)

const approver = "scaivault-cert-manager-approver"

// Mistake 21: whoever made the child object directly got what its parent's issuer could. A CertificateRequest that
// nobody approved is never signed, whoever made it and whatever it says; one that is denied ends.
func TestMistake21NothingIsSignedThatNobodyApproved(t *testing.T) {
	w := certified(running(t))
	w.mayIssue()
	w.issuerIs(w.issuer("web"), "True/Issuing")
	w.kubectl("delete", "clusterrolebinding", approver) // cert-manager's own approver may not
	defer w.kubectl("apply", "--server-side", "-k", controlplane.Root()+"/config/cert-manager")
	w.wire.Forget()
	ref := byIssuer("PKIIssuer", "web")
	for _, name := range []string{"denied", "forged", "approved"} {
		w.request(name, ref, []string{"web.example.com"})
	}
	w.kubectl("-n", w.ns, "create", "rolebinding", "editor", "--clusterrole=edit", "--user=editor")
	w.grantIn("status", rbacv1.PolicyRule{APIGroups: []string{"cert-manager.io"}, Resources: []string{"certificaterequests/status"}, Verbs: []string{"*"}}, "editor")
	if err := w.decide(w.as("editor"), "forged", cmapi.CertificateRequestConditionApproved); err == nil || !strings.Contains(err.Error(), "approved/denied") {
		t.Errorf("somebody without the verb approve approved: %v", err)
	}
	if err := w.decide(w.kube, "denied", cmapi.CertificateRequestConditionDenied); err != nil {
		t.Fatal(err)
	}
	w.requestIs("denied", "False/Denied RequestDenied")
	w.pass(2 * time.Second)
	if n := w.signings(); n != 0 {
		t.Errorf("the vault was asked %d times", n)
	}
	if got := w.requested("forged"); got != "" {
		t.Errorf("a request that nobody approved: %s", got)
	}
	if err := w.decide(w.kube, "approved", cmapi.CertificateRequestConditionApproved); err != nil {
		t.Fatal(err)
	}
	w.requestIs("approved", issued)
}

// decide approves or denies a CertificateRequest.
func (w *world) decide(as kube.Client, name string, kind cmapi.CertificateRequestConditionType) error {
	w.Helper()
	r := &cmapi.CertificateRequest{}
	if err := w.kube.Get(w.Context(), w.key(name), r); err != nil {
		return err
	}
	now := metav1.Now()
	r.Status.Conditions = append(r.Status.Conditions, cmapi.CertificateRequestCondition{
		Type: kind, Status: "True", Reason: "test", Message: "decided by the test", LastTransitionTime: &now,
	})
	return as.Status().Update(w.Context(), r)
}

// One ClusterPKIIssuer serves namespaces that must not get each other's names: each with the rights of its own
// ServiceAccount. One that lends the rights of its own ServiceAccount lends them to the namespaces that it names.
func TestClusterPKIIssuerLendsNothing(t *testing.T) {
	w := certified(running(t))
	mine := w.ns
	w.mayIssue()
	theirs := w.namespace("other", nil)
	w.account(theirs, "issuer")
	each := w.clusterIssuer(v1alpha1.IssuerIdentity{Mode: v1alpha1.RequesterIdentity, ServiceAccountName: "issuer"})
	w.issuerIs(each, "True/Issuing")
	if each.Status.CABundle == "" {
		t.Error("no bundle")
	}
	one := w.clusterIssuer(v1alpha1.IssuerIdentity{
		Mode: v1alpha1.IssuerIdentityMode, ServiceAccountRef: &v1alpha1.ServiceAccountReference{Namespace: mine, Name: "issuer"},
		AllowedNamespaces: []v1alpha1.NamespaceChoice{v1alpha1.NamespaceChoice(mine)},
	})
	w.issuerIs(one, "True/Issuing")
	for _, ns := range []string{mine, theirs} {
		w.ns = ns
		w.request("each", byIssuer("ClusterPKIIssuer", each.Name), []string{"web.example.com"})
		w.request("one", byIssuer("ClusterPKIIssuer", one.Name), []string{"web.example.com"})
		w.request("namespaced", byIssuer("PKIIssuer", each.Name), []string{"web.example.com"})
		w.requestIs("namespaced", "False/Pending IssuerMissing")
	}
	w.ns = mine
	w.requestIs("each", issued)
	w.requestIs("one", issued)
	w.ns = theirs
	w.requestIs("each", "False/Pending AccessDenied")
	w.requestIs("one", "False/Pending NotServed")
	if c := w.requestMessage("each"); !strings.Contains(c, "sa:"+theirs+":issuer") {
		t.Errorf("asked as somebody else: %s", c)
	}
	// An issuer of another namespace is not reached by its name.
	w.ns = mine
	w.issuerIs(w.issuer("private"), "True/Issuing")
	w.ns = theirs
	w.request("private", byIssuer("PKIIssuer", "private"), []string{"web.example.com"})
	w.requestIs("private", "False/Pending IssuerMissing")
	// Namespaces that are named later are served then.
	one.Spec.Identity.AllowedNamespaces = append(one.Spec.Identity.AllowedNamespaces, v1alpha1.NamespaceChoice(theirs))
	if err := w.kube.Update(t.Context(), one); err != nil {
		t.Fatal(err)
	}
	w.requestIs("one", issued)
}

func (w *world) requestMessage(name string) string {
	w.Helper()
	r := &cmapi.CertificateRequest{}
	if err := w.kube.Get(w.Context(), w.key(name), r); err != nil {
		w.Fatal(err)
	}
	for _, c := range r.Status.Conditions {
		if c.Type == cmapi.CertificateRequestConditionReady {
			return c.Message
		}
	}
	return ""
}

// A CertificateSigningRequest of Kubernetes is signed for those who may refer to the issuer, when it was approved. Who
// may make requests, and has somebody approve them, gets nothing by that alone.
func TestSigningRequests(t *testing.T) {
	w := running(t)
	w.roles()
	w.mayIssue()
	w.issuerIs(w.issuer("web", func(s *v1alpha1.PKIIssuerSpec) { s.KubernetesCSR = v1alpha1.Enabled }), "True/Issuing")
	w.issuerIs(w.issuer("off"), "True/Issuing")
	each := w.clusterIssuer(v1alpha1.IssuerIdentity{Mode: v1alpha1.RequesterIdentity, ServiceAccountName: "issuer"},
		func(s *v1alpha1.ClusterPKIIssuerSpec) { s.KubernetesCSR = v1alpha1.Enabled })
	w.issuerIs(each, "True/Issuing")
	w.grantCluster("csr", rbacv1.PolicyRule{APIGroups: []string{"certificates.k8s.io"}, Resources: []string{"certificatesigningrequests"}, Verbs: []string{"create"}}, "jane", "joe")
	w.grantIn("all", rbacv1.PolicyRule{APIGroups: []string{"scaivault.io"}, Resources: []string{"pkiissuers"}, Verbs: []string{"reference"}}, "jane")
	w.grantCluster("reference", rbacv1.PolicyRule{APIGroups: []string{"scaivault.io"}, Resources: []string{"clusterpkiissuers"}, Verbs: []string{"reference"}}, "jane")

	ours := "pkiissuers.scaivault.io/" + w.ns + "."
	signed := w.signingRequest("signed", ours+"web", "jane")
	w.pass(time.Second)
	if got := w.signing(signed); got != "waits" {
		t.Errorf("without an approval: %s", got)
	}
	w.approve(signed)
	w.signingIs(signed, "signed")
	for name, c := range map[string]struct{ signer, user, event string }{
		"stranger": {ours + "web", "joe", "ReferenceDenied"},
		"off":      {ours + "off", "jane", "NotServed"},
		"nobody":   {"clusterpkiissuers.scaivault.io/" + each.Name, "jane", "NotServed"}, // is no ServiceAccount
		"missing":  {ours + "none", "jane", "IssuerMissing"},
	} {
		csr := w.signingRequest(name, c.signer, c.user)
		w.approve(csr)
		w.until("event of "+name, "true", func() string {
			if strings.Contains(w.clusterEvents(csr), c.event) {
				return "true"
			}
			return w.clusterEvents(csr)
		})
		if got := w.signing(csr); got != "waits" {
			t.Errorf("%s: %s", name, got)
		}
	}
	outside := w.signingRequest("outside", ours+"web", "jane", func(c *certificatesv1.CertificateSigningRequest) {
		c.Spec.Request = w.csr([]string{"evil.example.org"})
	})
	w.approve(outside)
	w.signingIs(outside, "failed RequestRefused")
	denied := w.signingRequest("denied", ours+"web", "jane")
	w.kubectl("certificate", "deny", denied)
	w.pass(time.Second)
	if got := w.signing(denied); got != "waits" {
		t.Errorf("denied: %s", got)
	}
	w.grantIn("web", rbacv1.PolicyRule{APIGroups: []string{"scaivault.io"}, Resources: []string{"pkiissuers"}, ResourceNames: []string{"web"}, Verbs: []string{"reference"}}, "joe")
	again := w.signingRequest("again", ours+"web", "joe")
	w.approve(again)
	w.signingIs(again, "signed")
}

// signing is what became of a CertificateSigningRequest.
func (w *world) signing(name string) string {
	c := &certificatesv1.CertificateSigningRequest{}
	if err := w.kube.Get(w.Context(), kube.ObjectKey{Name: name}, c); err != nil {
		return err.Error()
	}
	for _, k := range c.Status.Conditions {
		if k.Type == certificatesv1.CertificateFailed {
			return "failed " + k.Reason
		}
	}
	if len(c.Status.Certificate) > 0 {
		return "signed"
	}
	return "waits"
}

func (w *world) signingIs(name, want string) {
	w.Helper()
	w.until("CertificateSigningRequest "+name, want, func() string { return w.signing(name) })
}

// clusterEvents are the reasons of the events of an object that lies in no namespace.
func (w *world) clusterEvents(name string) string {
	w.Helper()
	return w.kubectl("-n", "default", "get", "events.events.k8s.io", "--field-selector", "regarding.name="+name, "-o", "jsonpath={.items[*].reason}")
}

// grantIn gives users a rule in the test's namespace.
func (w *world) grantIn(name string, rule rbacv1.PolicyRule, users ...string) {
	w.Helper()
	at := metav1.ObjectMeta{Namespace: w.ns, Name: "test-" + name}
	_, err := w.core.RbacV1().Roles(w.ns).Create(w.Context(), &rbacv1.Role{ObjectMeta: at, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	w.must(err)
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: at.Name}
	_, err = w.core.RbacV1().RoleBindings(w.ns).Create(w.Context(), &rbacv1.RoleBinding{ObjectMeta: at, Subjects: people(users), RoleRef: ref}, metav1.CreateOptions{})
	w.must(err)
}

// grantCluster gives users a rule in the whole cluster until the test ends.
func (w *world) grantCluster(name string, rule rbacv1.PolicyRule, users ...string) {
	w.Helper()
	at := metav1.ObjectMeta{Name: "test-" + name + "-" + w.ns}
	_, err := w.core.RbacV1().ClusterRoles().Create(w.Context(), &rbacv1.ClusterRole{ObjectMeta: at, Rules: []rbacv1.PolicyRule{rule}}, metav1.CreateOptions{})
	w.must(err)
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: at.Name}
	_, err = w.core.RbacV1().ClusterRoleBindings().Create(w.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: at, Subjects: people(users), RoleRef: ref}, metav1.CreateOptions{})
	w.must(err)
	w.Cleanup(func() {
		_, _ = w.plane.Kubectl(context.Background(), "delete", "clusterrole,clusterrolebinding", at.Name)
	})
}

func people(names []string) (out []rbacv1.Subject) {
	for _, n := range names {
		out = append(out, rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: n})
	}
	return out
}

func (w *world) must(err error) {
	w.Helper()
	if err != nil {
		w.Fatal(err)
	}
}

// as is a client of a user.
func (w *world) as(user string) kube.Client {
	w.Helper()
	path, err := w.plane.User(user)
	if err != nil {
		w.Fatal(err)
	}
	cfg, err := controlplane.Load(path)
	if err != nil {
		w.Fatal(err)
	}
	c, err := kube.New(cfg, kube.Options{Scheme: w.kube.Scheme()})
	if err != nil {
		w.Fatal(err)
	}
	return c
}
