package v1alpha1

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"

	api "github.com/scailabs/scaivault/api/v1alpha1"
)

// places says which fields are wrong, and checks that each error says why.
func places(t *testing.T, wrong field.ErrorList) []string {
	t.Helper()
	var at []string
	for _, e := range wrong {
		at = append(at, e.Field)
		if e.Detail == "" {
			t.Errorf("%s: no reason given", e.Field)
		}
	}
	return at
}

func TestCheckPolicy(t *testing.T) {
	read := []api.Permission{"read"}
	window := func(start, end, zone string, days ...api.Weekday) *api.PolicyConditions {
		return &api.PolicyConditions{TimeWindow: &api.TimeWindow{Start: start, End: end, TimeZone: zone, Days: days}}
	}
	for name, c := range map[string]struct {
		rule api.PolicyRule
		want []string // below spec.rules[0]
	}{
		"good":                {rule: api.PolicyRule{Paths: []api.PathPattern{"a/**", "env/{namespace}/*", "partner:shared/?"}, Permissions: []api.Permission{"read", "admin"}}},
		"classes that fit":    {rule: api.PolicyRule{Paths: []api.PathPattern{"pki:web-*"}, Permissions: []api.Permission{"issue", "admin"}}},
		"glob joined to text": {rule: api.PolicyRule{Paths: []api.PathPattern{"ok", "a/b**"}, Permissions: read}, want: []string{"paths[1]"}},
		"upper case":          {rule: api.PolicyRule{Paths: []api.PathPattern{"Prod/db"}, Permissions: read}, want: []string{"paths[0]"}},
		"unknown placeholder": {rule: api.PolicyRule{Paths: []api.PathPattern{"a/{cluster}"}, Permissions: read}, want: []string{"paths[0]"}},
		"too deep":            {rule: api.PolicyRule{Paths: []api.PathPattern{"a/b/c/d/e/f/g/h/i/j/k"}, Permissions: read}, want: []string{"paths[0]"}},
		"read does not fit pki": {
			rule: api.PolicyRule{Paths: []api.PathPattern{"pki:web"}, Permissions: []api.Permission{"read", "issue"}}, want: []string{"paths[0]"}},
		"rotate does not fit dynamic": {
			rule: api.PolicyRule{Paths: []api.PathPattern{"dynamic:pg/ro"}, Permissions: []api.Permission{"generate", "rotate"}}, want: []string{"paths[0]"}},
		"issue does not fit secrets": {
			rule: api.PolicyRule{Paths: []api.PathPattern{"pki:web", "web"}, Permissions: []api.Permission{"issue"}}, want: []string{"paths[1]"}},
		"range": {
			rule: api.PolicyRule{Paths: []api.PathPattern{"a"}, Permissions: read, When: &api.PolicyConditions{IPRanges: []string{"10.0.0.0/8", "10.0.0.0/33", "::ffff:10.0.0.0/104"}}},
			want: []string{"when.ipRanges[1]", "when.ipRanges[2]"}},
		"window":          {rule: api.PolicyRule{Paths: []api.PathPattern{"a"}, Permissions: read, When: window("22:00", "06:00", "Europe/Amsterdam", "mon")}},
		"unknown zone":    {rule: api.PolicyRule{Paths: []api.PathPattern{"a"}, Permissions: read, When: window("08:00", "18:00", "Europe/Atlantis")}, want: []string{"when.timeWindow"}},
		"empty window":    {rule: api.PolicyRule{Paths: []api.PathPattern{"a"}, Permissions: read, When: window("08:00", "08:00", "")}, want: []string{"when.timeWindow"}},
		"several at once": {rule: api.PolicyRule{Paths: []api.PathPattern{"A", "B"}, Permissions: read}, want: []string{"paths[0]", "paths[1]"}},
	} {
		t.Run(name, func(t *testing.T) {
			var want []string
			for _, w := range c.want {
				want = append(want, "spec.rules[0]."+w)
			}
			got := places(t, checkPolicy(&api.VaultPolicySpec{Rules: []api.PolicyRule{c.rule}}))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Fatalf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCheckPolicySelectors(t *testing.T) {
	pick := func(op metav1.LabelSelectorOperator, values ...string) api.PolicySubject {
		return api.PolicySubject{Kind: api.SubjectServiceAccounts, Name: "app", NamespaceSelector: &metav1.LabelSelector{
			MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "team", Operator: op, Values: values}}}}
	}
	got := places(t, checkPolicy(&api.VaultPolicySpec{Subjects: []api.PolicySubject{
		{Kind: api.SubjectIdentity, Name: "user:a"}, pick("In", "pay"), pick("Near", "pay"), pick("In"),
	}}))
	if diff := cmp.Diff([]string{"spec.subjects[2].namespaceSelector", "spec.subjects[3].namespaceSelector"}, got); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
}

func TestPolicyWarnings(t *testing.T) {
	free := api.PolicyRule{}
	hours := api.PolicyRule{When: &api.PolicyConditions{TimeWindow: &api.TimeWindow{}}}
	network := api.PolicyRule{When: &api.PolicyConditions{IPRanges: []string{"10.0.0.0/8"}}}
	mfa := api.PolicyRule{When: &api.PolicyConditions{MFA: api.MFARequired}}
	person := api.PolicySubject{Kind: api.SubjectIdentity, Type: api.IdentityUser}
	for name, c := range map[string]struct {
		rules   []api.PolicyRule
		subject api.PolicySubject
		want    string // rules that the warning names; empty: no warning
	}{
		"no conditions":      {rules: []api.PolicyRule{free, hours}, subject: api.PolicySubject{Kind: api.SubjectServiceAccount}},
		"a person":           {rules: []api.PolicyRule{network, mfa}, subject: person},
		"a ServiceAccount":   {rules: []api.PolicyRule{free, network, hours, mfa}, subject: api.PolicySubject{Kind: api.SubjectServiceAccount}, want: "[1,3]"},
		"ServiceAccounts":    {rules: []api.PolicyRule{mfa}, subject: api.PolicySubject{Kind: api.SubjectServiceAccounts}, want: "[0]"},
		"an identity of one": {rules: []api.PolicyRule{mfa}, subject: api.PolicySubject{Kind: api.SubjectIdentity, Type: api.IdentityServiceAccount}, want: "[0]"},
	} {
		t.Run(name, func(t *testing.T) {
			got := policyWarnings(&api.VaultPolicySpec{Rules: c.rules, Subjects: []api.PolicySubject{person, c.subject}})
			if c.want == "" && got != nil || c.want != "" && (len(got) != 1 || !strings.Contains(got[0], "rules"+c.want)) {
				t.Fatalf("warnings %q, want one that names rules %q", got, c.want)
			}
		})
	}
}

func TestCheckSecret(t *testing.T) {
	spec := &api.VaultSecretSpec{RefreshInterval: "999999999w", Data: []api.DataEntry{
		{Key: "plain", From: &api.FieldRef{Source: "db", Field: "url"}},
		{Key: "good", Template: `{{ range .db.hosts }}{{ . | quote }}{{ end }}{{ required "no url" .db.url }}`},
		{Key: "open", Template: "hunter2 {{ .db.url"},
		{Key: "env", Template: `{{ env "HOME" }}`},
		{Key: "call", Template: `{{ call .db.url }}`},
		{Key: "define", Template: `{{ define "x" }}{{ end }}`},
		{Key: "loop", Template: `{{ template "template" . }}`},
	}}
	wrong := checkSecret(spec)
	want := []string{"spec.data[open].template", "spec.data[env].template", "spec.data[call].template", "spec.data[define].template", "spec.data[loop].template", "spec.refreshInterval"}
	if diff := cmp.Diff(want, places(t, wrong)); diff != "" {
		t.Fatalf("(-want +got)\n%s", diff)
	}
	if all := wrong.ToAggregate().Error(); strings.Contains(all, "hunter2") {
		t.Errorf("an error repeats the text of a template: %s", all)
	}
}

func secret(ns, name, target string) *api.VaultSecret {
	s := &api.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}}
	if target != "" {
		s.Spec.Target = &api.SecretTarget{Name: target}
	}
	return s
}

func shared(s *api.VaultSecret) *api.VaultSecret {
	if s.Spec.Target == nil {
		s.Spec.Target = &api.SecretTarget{}
	}
	s.Spec.Target.Mode = api.SharedTarget
	return s
}

// Objects that both share may write one Secret; one that wants it alone keeps all others out, and they keep it out.
func TestSharedRivals(t *testing.T) {
	alone, together := secret("n", "other", "mine"), shared(secret("n", "other", "mine"))
	for name, c := range map[string]struct {
		self, other *api.VaultSecret
		want        bool
	}{
		"both share":         {shared(secret("n", "self", "mine")), together, false},
		"the other is alone": {shared(secret("n", "self", "mine")), alone, true},
		"self is alone":      {secret("n", "self", "mine"), together, true},
		"by its own name":    {shared(secret("n", "mine", "")), together, false},
	} {
		if got := rival(c.self, []api.VaultSecret{*c.other}); (got != nil) != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestRival(t *testing.T) {
	leaving := secret("n", "leaving", "mine")
	leaving.DeletionTimestamp = &metav1.Time{}
	for name, c := range map[string]struct {
		other *api.VaultSecret
		want  bool
	}{
		"same target":                {other: secret("n", "other", "mine"), want: true},
		"named like the target":      {other: secret("n", "mine", ""), want: true},
		"named so, writes elsewhere": {other: secret("n", "mine", "theirs")},
		"other namespace":            {other: secret("m", "other", "mine")},
		"itself":                     {other: secret("n", "self", "mine")},
		"on its way out":             {other: leaving},
	} {
		t.Run(name, func(t *testing.T) {
			got := rival(secret("n", "self", "mine"), []api.VaultSecret{*secret("n", "far", "off"), *c.other})
			if (got != nil) != c.want || got != nil && got.Name != c.other.Name {
				t.Fatalf("got %v", got)
			}
		})
	}
}

// listing is a cache of VaultSecrets that may be broken.
type listing struct {
	items []api.VaultSecret
	err   error
}

func (l listing) List(_ context.Context, into client.ObjectList, _ ...client.ListOption) error {
	into.(*api.VaultSecretList).Items = l.items
	return l.err
}

// Only what an update makes worse is refused, and nothing that leaves the spec alone.
func TestUpdates(t *testing.T) {
	bad := func(name, target string) *api.VaultSecret {
		s := secret("n", name, target)
		s.Spec.Data = []api.DataEntry{{Key: "k", Template: "{{"}}
		return s
	}
	edit := func(s *api.VaultSecret, change func(*api.VaultSecret)) *api.VaultSecret {
		s = s.DeepCopy()
		change(s)
		return s
	}
	v := secretValidator{secrets: listing{items: []api.VaultSecret{*secret("n", "other", "taken")}}}
	for name, c := range map[string]struct {
		was, now *api.VaultSecret
		refused  bool
	}{
		"metadata of a bad one":    {was: bad("a", "taken"), now: edit(bad("a", "taken"), func(s *api.VaultSecret) { s.Labels = map[string]string{"x": "y"} })},
		"suspend a bad one":        {was: bad("a", "taken"), now: edit(bad("a", "taken"), func(s *api.VaultSecret) { s.Spec.Suspend = true })},
		"edit while it is going":   {was: secret("n", "a", ""), now: edit(bad("a", ""), func(s *api.VaultSecret) { s.DeletionTimestamp = &metav1.Time{} })},
		"a good one becomes bad":   {was: secret("n", "a", ""), now: bad("a", ""), refused: true},
		"another bad template":     {was: bad("a", ""), now: edit(bad("a", ""), func(s *api.VaultSecret) { s.Spec.Data[0].Key = "l" }), refused: true},
		"move to a free target":    {was: secret("n", "a", ""), now: secret("n", "a", "free")},
		"move to another's target": {was: secret("n", "a", ""), now: secret("n", "a", "taken"), refused: true},
		"share a disputed target":  {was: secret("n", "a", "taken"), now: shared(secret("n", "a", "taken"))},
		"want a shared one alone":  {was: shared(secret("n", "a", "taken")), now: secret("n", "a", "taken"), refused: true},
		"stay with a shared one":   {was: shared(bad("a", "taken")), now: shared(secret("n", "a", "taken"))},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := v.ValidateUpdate(t.Context(), c.was, c.now); (err != nil) != c.refused {
				t.Fatalf("refused: %v", err)
			}
			if _, err := v.ValidateDelete(t.Context(), c.now); err != nil {
				t.Fatalf("a delete was refused: %v", err)
			}
		})
	}
}

func TestPolicyUpdates(t *testing.T) {
	with := func(paths ...api.PathPattern) *api.VaultPolicy {
		return &api.VaultPolicy{Spec: api.VaultPolicySpec{Rules: []api.PolicyRule{{Paths: paths, Permissions: []api.Permission{"read"}}}}}
	}
	labelled := with("A")
	labelled.Finalizers = []string{"scaivault.io/policy"}
	for name, c := range map[string]struct {
		was, now *api.VaultPolicy
		refused  bool
	}{
		"finalizer of a bad one": {was: with("A"), now: labelled},
		"a rule besides":         {was: with("A"), now: with("A", "b")},
		"one more bad":           {was: with("A"), now: with("A", "B"), refused: true},
		"mended":                 {was: with("A"), now: with("a")},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := (policyValidator{}).ValidateUpdate(t.Context(), c.was, c.now); (err != nil) != c.refused {
				t.Fatalf("refused: %v", err)
			}
			if _, err := (policyValidator{}).ValidateDelete(t.Context(), c.now); err != nil {
				t.Fatalf("a delete was refused: %v", err)
			}
		})
	}
}

// What cannot be found out is no reason to refuse: the operator looks again.
func TestUnreadableCacheOnlyWarns(t *testing.T) {
	v := secretValidator{secrets: listing{err: errors.New("not started")}}
	warnings, err := v.ValidateCreate(t.Context(), secret("n", "a", ""))
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "Secret a") {
		t.Fatalf("%v, warnings %q", err, warnings)
	}
}
