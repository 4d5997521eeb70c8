package vaultpolicy

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

var now = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func at(d time.Duration) *metav1.Time { t := metav1.NewTime(now.Add(d)); return &t }

// One rule of a VaultPolicy is one rule per pattern in the vault, with the same conditions.
func TestRules(t *testing.T) {
	spec := &v1alpha1.VaultPolicySpec{Rules: []v1alpha1.PolicyRule{
		{Paths: []v1alpha1.PathPattern{"a/**", "b/{namespace}/*"}, Permissions: []v1alpha1.Permission{"read", "list"}},
		{Paths: []v1alpha1.PathPattern{"pki:web"}, Permissions: []v1alpha1.Permission{"issue"}, When: &v1alpha1.PolicyConditions{
			IPRanges: []string{"10.0.0.0/8"}, MFA: v1alpha1.MFARequired,
			TimeWindow: &v1alpha1.TimeWindow{Days: []v1alpha1.Weekday{"mon"}, Start: "08:00", End: "18:00", TimeZone: "Europe/Amsterdam"}}},
		{Paths: []v1alpha1.PathPattern{"c"}, Permissions: []v1alpha1.Permission{"read"}, When: &v1alpha1.PolicyConditions{}},
	}}
	want := []vaultapi.Rule{
		{PathPattern: "a/**", Permissions: []string{"read", "list"}},
		{PathPattern: "b/{namespace}/*", Permissions: []string{"read", "list"}},
		{PathPattern: "pki:web", Permissions: []string{"issue"}, Conditions: &vaultapi.Conditions{IPRanges: []string{"10.0.0.0/8"}, RequireMFA: true,
			TimeWindow: &vaultapi.TimeWindow{Days: []string{"mon"}, Start: "08:00", End: "18:00", Timezone: "Europe/Amsterdam"}}},
		{PathPattern: "c", Permissions: []string{"read"}},
	}
	if diff := cmp.Diff(want, rules(spec)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// Mistake 11: an empty list that got past the schema stays one, so that the vault refuses it, and does not become a
// rule without a condition.
func TestMistake11EmptyListsReachTheVault(t *testing.T) {
	got := conditions(&v1alpha1.PolicyConditions{IPRanges: []string{}, TimeWindow: &v1alpha1.TimeWindow{Days: []v1alpha1.Weekday{}}})
	want := &vaultapi.Conditions{IPRanges: []string{}, TimeWindow: &vaultapi.TimeWindow{Days: []string{}}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if got := conditions(&v1alpha1.PolicyConditions{IPRanges: []string{}}); got == nil || got.IPRanges == nil {
		t.Errorf("no network became any network: %+v", got)
	}
}

// Whom a spec names: each identity once, nobody whose time is over, other clusters with their name.
func TestBindings(t *testing.T) {
	picks := func(v1alpha1.PolicySubject) ([]string, error) { return []string{"n2", "n1"}, nil }
	spec := &v1alpha1.VaultPolicySpec{Subjects: []v1alpha1.PolicySubject{
		{Kind: v1alpha1.SubjectServiceAccount, Namespace: "n1", Name: "app", ExpiresAt: at(time.Hour)},
		{Kind: v1alpha1.SubjectServiceAccounts, NamespaceSelector: &metav1.LabelSelector{}, Name: "app"},
		{Kind: v1alpha1.SubjectIdentity, Type: v1alpha1.IdentityGroup, Name: "group:ops", ExpiresAt: at(-time.Second)},
		{Kind: v1alpha1.SubjectIdentity, Type: v1alpha1.IdentityUser, Name: "user:a@example.com", ExpiresAt: at(time.Hour)},
		{Kind: v1alpha1.SubjectIdentity, Type: v1alpha1.IdentityUser, Name: "user:a@example.com", ExpiresAt: at(time.Minute)},
	}}
	got, err := bindings(spec, "home", picks, now)
	want := []vaultapi.BindingWrite{
		{IdentityType: "service_account", IdentityID: "sa:n1:app"},
		{IdentityType: "service_account", IdentityID: "sa:n2:app"},
		{IdentityType: "user", IdentityID: "user:a@example.com", ExpiresAt: "2026-01-02T04:04:05Z"},
	}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("%v (-want +got)\n%s", err, diff)
	}
	if id := accountIdentity("edge", "n", "app"); id != "sa:edge:n:app" {
		t.Error(id)
	}
	broken := errors.New("no cache")
	if _, err := bindings(spec, "home", func(v1alpha1.PolicySubject) ([]string, error) { return nil, broken }, now); !errors.Is(err, broken) {
		t.Errorf("a selector that cannot be resolved binds nobody in silence: %v", err)
	}
}

// The next end counts; those that have passed, and subjects without one, do not.
func TestSoonestEnd(t *testing.T) {
	spec := func(ends ...*metav1.Time) *v1alpha1.VaultPolicySpec {
		var s v1alpha1.VaultPolicySpec
		for _, e := range ends {
			s.Subjects = append(s.Subjects, v1alpha1.PolicySubject{ExpiresAt: e})
		}
		return &s
	}
	for name, tc := range map[string]struct {
		spec *v1alpha1.VaultPolicySpec
		want time.Time
	}{
		"nobody":     {spec(), time.Time{}},
		"for ever":   {spec(nil), time.Time{}},
		"passed":     {spec(at(-time.Second), at(0)), time.Time{}},
		"the sooner": {spec(at(time.Hour), nil, at(time.Minute), at(-time.Hour)), now.Add(time.Minute)},
	} {
		if got := soonestEnd(tc.spec, now); !got.Equal(tc.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestDifference(t *testing.T) {
	end := vaultapi.At(now)
	have := []vaultapi.Binding{
		{ID: "keep", IdentityType: "user", IdentityID: "user:a"},
		{ID: "gone", IdentityType: "user", IdentityID: "user:b"},
		{ID: "moved", IdentityType: "user", IdentityID: "user:c", ExpiresAt: &end},
		{ID: "until", IdentityType: "user", IdentityID: "user:d", ExpiresAt: &end},
	}
	want := []vaultapi.BindingWrite{
		{IdentityType: "user", IdentityID: "user:a"}, {IdentityType: "user", IdentityID: "user:c"},
		{IdentityType: "user", IdentityID: "user:d", ExpiresAt: "2026-01-02T03:04:05Z"}, {IdentityType: "user", IdentityID: "user:new"},
	}
	remove, add := difference(want, have)
	var removed, added []string
	for _, r := range remove {
		removed = append(removed, r.ID)
	}
	for _, a := range add {
		added = append(added, a.IdentityID)
	}
	if diff := cmp.Diff([][]string{{"gone", "moved"}, {"user:c", "user:new"}}, [][]string{removed, added}); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

// Mistake 22: what belongs to another cluster, or to an object whose name only begins like ours, is not ours.
func TestMistake22OwnerPrefixes(t *testing.T) {
	if got := ownerOf("home", "billing", "u1"); got != "k8s:home/VaultPolicy//billing/u1" {
		t.Fatal(got)
	}
	if namePrefix("home", "billing") == namePrefix("home", "billing2")[:len(namePrefix("home", "billing"))] {
		t.Fatal("billing takes billing2 for its own")
	}
}

func TestMisleadingConditions(t *testing.T) {
	when := []v1alpha1.PolicyRule{{When: &v1alpha1.PolicyConditions{IPRanges: []string{"10.0.0.0/8"}}}}
	person := []v1alpha1.PolicySubject{{Kind: v1alpha1.SubjectIdentity}}
	account := []v1alpha1.PolicySubject{{Kind: v1alpha1.SubjectServiceAccount}}
	if misleading(&v1alpha1.VaultPolicySpec{Rules: when, Subjects: person}) || misleading(&v1alpha1.VaultPolicySpec{Subjects: account}) {
		t.Error("warned without need")
	}
	if !misleading(&v1alpha1.VaultPolicySpec{Rules: when, Subjects: account}) {
		t.Error("not warned")
	}
}
