package target

import (
	"errors"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

var self = Owner{Kind: "VaultSecret", Namespace: "billing", Name: "db", UID: "u1"}

// What may never be written, although somebody got it past the schema. Mistakes 15 and 16: the type is
// judged where the Secret is written, not only where the field is set.
func TestMistake15ForbiddenTargets(t *testing.T) {
	rules := Rules{ForbiddenNamespaces: []string{"kube-system"}, ExtraTypes: []string{"example.com/x", "kubernetes.io/service-account-token"}}
	cases := []struct {
		name string
		d    Desired
		want string
	}{
		{"plain", Desired{Owner: self}, ""},
		{"tls", Desired{Owner: self, Type: corev1.SecretTypeTLS}, ""},
		{"allowed by flag", Desired{Owner: self, Type: "example.com/x"}, ""},
		{"service account token, even by flag", Desired{Owner: self, Type: corev1.SecretTypeServiceAccountToken}, "never written"},
		{"bootstrap token", Desired{Owner: self, Type: corev1.SecretTypeBootstrapToken}, "never written"},
		{"helm release", Desired{Owner: self, Type: "helm.sh/release.v1"}, "never written"},
		{"unknown", Desired{Owner: self, Type: "example.com/y"}, "not allowed"},
		{"namespace", Desired{Owner: Owner{Namespace: "kube-system"}}, "kube-system"},
		{"label", Desired{Owner: self, Labels: map[string]string{"app.kubernetes.io/managed-by": "Helm"}}, "not allowed"},
		{"annotation", Desired{Owner: self, Annotations: map[string]string{"kubernetes.io/service-account.name": "x"}}, "not allowed"},
		{"replicator", Desired{Owner: self, Annotations: map[string]string{"reflector.v1.k8s.emberstack.com/reflection-allowed": "true"}}, "not allowed"},
		{"looks alike", Desired{Owner: self, Labels: map[string]string{"notkubernetes.io/x": "y", "team": "pay"}}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) { wantStalled(t, rules.Where(c.d), v1alpha1.ReasonInvalidTarget, c.want) })
	}
}

func TestContent(t *testing.T) {
	cases := []struct {
		name string
		data map[string][]byte
		want string
	}{
		{"plain", map[string][]byte{"a.b-c_D": []byte("x")}, ""},
		{"empty value", map[string][]byte{"a": nil}, ""},
		{"no key", nil, "no key would be written"},
		{"bad key", map[string][]byte{"a/b": nil}, `key "a/b"`},
		{"dot", map[string][]byte{".": nil}, `key "."`},
		{"two dots", map[string][]byte{"..": nil}, `key ".."`},
		{"parent", map[string][]byte{"..data": nil}, `key "..data"`},
		{"hidden file", map[string][]byte{".env": nil}, ""},
		{"exactly 1 MiB", map[string][]byte{"k": make([]byte, 1<<20-1)}, ""},
		{"one byte more", map[string][]byte{"k": make([]byte, 1<<20)}, "1048577 bytes and a Secret holds at most 1048576; largest keys: k (1048576 bytes)"},
		{"long key", map[string][]byte{strings.Repeat("k", 254): nil}, "at most 253"},
		{"too large", map[string][]byte{"small": []byte("x"), "big": make([]byte, 1<<20)}, "big (1048576 bytes), small (1 bytes)"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			wantStalled(t, Content(Desired{Owner: self, Data: c.data}), v1alpha1.ReasonInvalidData, c.want)
		})
	}
}

func wantStalled(t *testing.T, err error, reason, want string) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Fatalf("refused: %v", err)
	case want == "":
	case err == nil || !strings.Contains(err.Error(), want):
		t.Fatalf("got %v, want %q", err, want)
	case !reconcile.IsStalled(err) || reconcile.ReasonOf(err) != reason:
		t.Fatalf("kind of %v", err)
	case !strings.Contains(err.Error(), "; "):
		t.Fatalf("%v: no next step", err)
	}
}

func TestStand(t *testing.T) {
	yes := true
	ref := func(kind, name, uid string) metav1.ObjectMeta {
		return metav1.ObjectMeta{OwnerReferences: []metav1.OwnerReference{{APIVersion: v1alpha1.GroupVersion.String(), Kind: kind, Name: name, UID: "x", Controller: &yes}}}
	}
	own := ref("VaultSecret", "db", "")
	own.OwnerReferences[0].UID = "u1"
	offered2 := ref("VaultSecret", "other", "")
	offered2.Annotations = map[string]string{v1alpha1.AnnotationAdopt: "db"}
	cases := []struct {
		name string
		m    metav1.ObjectMeta
		want standing
	}{
		{"nobody's", metav1.ObjectMeta{}, foreign},
		{"ours", own, ours},
		{"earlier object of our name", ref("VaultSecret", "db", ""), previous},
		{"another object", ref("VaultSecret", "other", ""), foreign},
		{"another kind of our name", ref("DynamicLease", "db", ""), foreign},
		{"offered", metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationAdopt: "db"}}, offered},
		{"offered to another", metav1.ObjectMeta{Annotations: map[string]string{v1alpha1.AnnotationAdopt: "other"}}, foreign},
		{"offered but owned", offered2, foreign},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			if got := stand(&c.m, self); got != c.want {
				t.Fatalf("%d, want %d", got, c.want)
			}
		})
	}
}

func TestFieldManager(t *testing.T) {
	if got := FieldManager(self); got != "scaivault/VaultSecret/db" {
		t.Fatal(got)
	}
	long := FieldManager(Owner{Kind: "VaultSecret", Name: strings.Repeat("n", 200)})
	other := FieldManager(Owner{Kind: "VaultSecret", Name: strings.Repeat("n", 199)})
	if len(long) > managerLimit || long == other {
		t.Fatal(long)
	}
}

// Mistake 38: what the API server says may quote what was sent.
func TestMistake38RefusalHoldsNoValue(t *testing.T) {
	invalid := apierrors.NewInvalid(schema.GroupKind{Kind: "Secret"}, "db", field.ErrorList{
		field.Invalid(field.NewPath("data").Key("tls.crt"), "hunter2", "not a certificate: hunter2")})
	for _, err := range []error{invalid, errors.New("cannot decode hunter2"), apierrors.NewBadRequest("hunter2")} {
		if got := refused(Desired{Owner: self, Name: "db"}, err); strings.Contains(got.Error(), "hunter2") {
			t.Errorf("leaks: %v", got)
		}
	}
	if got := refused(Desired{Name: "db"}, invalid); !strings.Contains(got.Error(), "data[tls.crt]") || !reconcile.IsStalled(got) {
		t.Errorf("%v", got)
	}
}

// A write of our own is never drift, however late the watch shows it or the status; anybody else's is.
func TestDrifted(t *testing.T) {
	seen := func(uid, rv string) *metav1.ObjectMeta {
		return &metav1.ObjectMeta{Name: "db", UID: "s" + "1", ResourceVersion: rv}
	}
	m := NewMemory()
	recorded := State{Name: "db", UID: "s1", ResourceVersion: "10"}
	check := func(want bool, why string, m *Memory, st State, rv string) {
		t.Helper()
		if m.Drifted(self, st, seen("s1", rv)) != want {
			t.Error(why)
		}
	}
	check(false, "recorded state", m, recorded, "10")
	check(true, "other state after a restart", m, recorded, "11")
	m.set(self, State{Name: "db", UID: "s1", ResourceVersion: "20"})
	check(false, "watch lags behind our write", m, recorded, "11")
	check(false, "our own write, status not yet patched", m, recorded, "20")
	check(true, "later than our write", m, recorded, "21")
	check(true, "9 < 20 as numbers, 100 > 20", m, recorded, "100")
	m.Gone(self, "another")
	check(false, "another Secret went", m, recorded, "20")
	m.Gone(self, "s1")
	check(true, "forgotten", m, recorded, "20")
	m.set(self, State{Name: "db", UID: "s1", ResourceVersion: "20"})
	m.meet(self, State{Name: "db", UID: "s1", ResourceVersion: "30"})
	check(true, "what a write of ours failed on is somebody else's", m, recorded, "30")
	if at := m.of(self, "db"); at.ResourceVersion != "30" {
		t.Errorf("the next write starts from %+v", at)
	}
	m.set(self, State{Name: "db", UID: "s1", ResourceVersion: "40"})
	check(false, "until we wrote", m, recorded, "40")
}
