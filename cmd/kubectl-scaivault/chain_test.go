package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

func blocked(reason, message string) state {
	return state{Ready: "False", Reason: reason, Message: message, Blocked: true, Next: "do this"}
}

// What was seen counts before what the operator says; what nobody could look at is filled in from there, and one
// thing is named.
func TestConclude(t *testing.T) {
	type results map[string]string
	for _, tc := range []struct {
		name string
		seen results
		says state
		want results // others are unknown
		by   string
	}{
		{
			"nothing blocks", results{linkAccount: resultOK}, state{Ready: "True", Reason: v1alpha1.ReasonSynced},
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "ok", linkIdentity: "ok", linkPolicy: "ok", linkSource: "ok", linkContent: "ok", linkTarget: "ok", linkPods: "ok"}, "",
		},
		{
			"ready, but a policy was taken away a moment ago", results{linkPolicy: resultBlocks}, state{Ready: "True", Reason: v1alpha1.ReasonSynced},
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "ok", linkIdentity: "ok", linkPolicy: "blocks", linkSource: "ok", linkContent: "ok", linkTarget: "ok", linkPods: "ok"}, linkPolicy,
		},
		{
			"only the operator knows", results{}, blocked(v1alpha1.ReasonFieldMissing, "no field x"),
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "ok", linkIdentity: "ok", linkPolicy: "ok", linkSource: "ok", linkContent: "blocks"}, linkContent,
		},
		{
			"a denial covers identity and policy", results{}, blocked(v1alpha1.ReasonAccessDenied, "may not"),
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "ok", linkPolicy: "blocks"}, linkPolicy,
		},
		{
			"a denial that is one of identity", results{linkIdentity: resultBlocks, linkPolicy: resultOK}, blocked(v1alpha1.ReasonAccessDenied, "may not"),
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "ok", linkIdentity: "blocks", linkPolicy: "ok"}, linkIdentity,
		},
		{
			"mended since", results{linkPolicy: resultOK, linkSource: resultOK}, blocked(v1alpha1.ReasonAccessDenied, "may not"),
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "ok", linkPolicy: "ok", linkSource: "ok"}, linkPolicy,
		},
		{
			"the first of two", results{linkAccount: resultBlocks, linkSource: resultBlocks}, blocked(v1alpha1.ReasonServiceAccountMissing, "no account"),
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "ok", linkAccount: "blocks", linkSource: "blocks"}, linkAccount,
		},
		{
			"the operator does not run", results{linkAccount: resultOK, linkPolicy: resultBlocks}, blocked(reasonUnseen, "not looked"),
			results{linkOperator: "blocks", linkAccount: "ok", linkPolicy: "blocks"}, linkOperator,
		},
		{
			"trouble in looking again", results{}, state{Ready: "True", Reason: v1alpha1.ReasonVaultUnavailable, Message: "no answer", Blocked: true},
			results{linkOperator: "ok", linkSpec: "ok", linkVault: "blocks"}, linkVault,
		},
	} {
		seen, want := links(), results{}
		for i := range seen {
			if r, ok := tc.seen[seen[i].Link]; ok {
				seen[i].Result = r
			}
			want[seen[i].Link] = resultUnknown
		}
		for l, r := range tc.want {
			want[l] = r
		}
		all, by := conclude(seen, tc.says, "sync it")
		got := results{}
		for _, c := range all {
			got[c.Link] = c.Result
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tc.name, diff)
		}
		switch {
		case by == nil && tc.by != "", by != nil && by.Link != tc.by:
			t.Errorf("%s: blocked by %+v, want %q", tc.name, by, tc.by)
		case by != nil && by.Detail == "" && tc.says.Message != "" && tc.seen[by.Link] != resultBlocks:
			t.Errorf("%s: %+v says nothing", tc.name, by)
		}
	}
}

// A person who follows the last advice must get somewhere: what was mended since is looked at again.
func TestMendedSince(t *testing.T) {
	seen := links()
	for i := range seen {
		if seen[i].Link == linkSource {
			seen[i] = check{Link: linkSource, Result: resultOK, Detail: "1 of 1 exist"}
		}
	}
	_, by := conclude(seen, blocked(v1alpha1.ReasonSecretMissing, "no secret at a"), "kubectl scaivault sync a")
	want := &check{
		Link: linkSource, Result: resultBlocks, Next: "have it look again: kubectl scaivault sync a",
		Detail: "1 of 1 exist now, but when the operator looked last it said SecretMissing: no secret at a",
	}
	if diff := cmp.Diff(want, by); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// reasons are the reason constants of the API, by name.
func reasons(t *testing.T) map[string]string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	ast.Inspect(file, func(n ast.Node) bool {
		if v, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(v.Names[0].Name, "Reason") {
			text, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
			if err != nil {
				t.Fatal(err)
			}
			all[v.Names[0].Name] = text
		}
		return true
	})
	if len(all) < 15 {
		t.Fatalf("found %d reasons only", len(all))
	}
	return all
}

// Every reason of trouble has a next step, and an exit code that is no success.
func TestEveryReasonHasANextStep(t *testing.T) {
	misplaced := regexp.MustCompile(`kubectl -\S+ \S+ scaivault`)
	for name, reason := range reasons(t) {
		success := reason == v1alpha1.ReasonSynced || reason == v1alpha1.ReasonApplied || reason == v1alpha1.ReasonScheduled || reason == v1alpha1.ReasonIssuing
		var steps string
		for _, o := range []object{&v1alpha1.VaultSecret{}, &v1alpha1.VaultPolicy{}, &v1alpha1.RotationSchedule{}, &v1alpha1.PKIIssuer{}, &v1alpha1.ClusterPKIIssuer{}} {
			steps += nextStep(o, reason)
		}
		if success != (steps == "") {
			t.Errorf("%s: next steps %q", name, steps)
		}
		if misplaced.MatchString(steps) {
			t.Errorf("%s: kubectl takes no flags before a plugin's name: %q", name, steps)
		}
		if success != (codeOf(reason) == 0) {
			t.Errorf("%s: exit code %d", name, codeOf(reason))
		}
	}
}

func TestState(t *testing.T) {
	condition := func(kind, status, reason string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: "says " + reason}
	}
	with := func(generation, observed int64, suspend bool, all ...metav1.Condition) *v1alpha1.VaultSecret {
		v := &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Generation: generation}}
		v.Spec.Suspend, v.Status.ObservedGeneration, v.Status.Conditions = suspend, observed, all
		return v
	}
	ready, stalled := condition("Ready", "True", "Synced"), condition("Stalled", "True", "AccessDenied")
	for _, tc := range []struct {
		name   string
		obj    *v1alpha1.VaultSecret
		ready  string
		reason string
		blocks bool
	}{
		{"well", with(2, 2, false, ready), "True", "Synced", false},
		{"new", with(1, 0, false), "Unknown", reasonUnseen, true},
		{"spec changed", with(3, 2, false, ready), "True", reasonBehind, true},
		{"suspended", with(2, 2, true, ready), "True", reasonSuspended, true},
		{"stalled", with(2, 2, false, condition("Ready", "False", "AccessDenied"), stalled), "False", "AccessDenied", true},
		{"trouble in looking again", with(2, 2, false, ready, condition("Reconciling", "True", "VaultUnavailable")), "True", "VaultUnavailable", true},
		{"no Ready", with(2, 2, false, condition("Reconciling", "True", "Retrying")), "Unknown", "Retrying", true},
		{"a condition of somebody else", with(2, 2, false, condition("Other", "True", "X")), "Unknown", reasonUnseen, true},
	} {
		s := stateOf(tc.obj)
		if s.Ready != tc.ready || s.Reason != tc.reason || s.Blocked != tc.blocks || s.Blocked == (s.Next == "") {
			t.Errorf("%s: %+v", tc.name, s)
		}
	}
}
