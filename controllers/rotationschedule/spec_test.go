package rotationschedule

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

func spec(change ...func(*v1alpha1.RotationScheduleSpec)) *v1alpha1.RotationScheduleSpec {
	s := &v1alpha1.RotationScheduleSpec{
		Secrets: v1alpha1.RotatedSecrets{Paths: []v1alpha1.SecretPath{"a/b"}},
		When:    v1alpha1.RotationTimes{Every: "90d"}, Mode: v1alpha1.RotationGenerate,
	}
	for _, c := range change {
		c(s)
	}
	return s
}

// What a schema cannot judge is refused, each at its field, with a rule.
func TestCheck(t *testing.T) {
	when := func(w v1alpha1.RotationTimes) func(*v1alpha1.RotationScheduleSpec) {
		return func(s *v1alpha1.RotationScheduleSpec) { s.When = w }
	}
	grace := func(g v1alpha1.RotationGrace) func(*v1alpha1.RotationScheduleSpec) {
		return func(s *v1alpha1.RotationScheduleSpec) { s.Grace = &g }
	}
	for name, c := range map[string]struct {
		spec *v1alpha1.RotationScheduleSpec
		want []string
	}{
		"smallest": {spec: spec()},
		"cron":     {spec: spec(when(v1alpha1.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Europe/Amsterdam", Window: "2h", Spread: "1h"}))},
		"pattern":  {spec: spec(func(s *v1alpha1.RotationScheduleSpec) { s.Secrets.PathPattern = "a/{namespace}/**" })},
		"a pattern that is none": {
			spec: spec(func(s *v1alpha1.RotationScheduleSpec) { s.Secrets.PathPattern = "a/b**" }), want: []string{"spec.secrets.pathPattern"}},
		"a pattern of another class": {
			spec: spec(func(s *v1alpha1.RotationScheduleSpec) { s.Secrets.PathPattern = "partner:a/**" }), want: []string{"spec.secrets.pathPattern"}},
		"a date that never comes": {spec: spec(when(v1alpha1.RotationTimes{Cron: "0 0 31 2 *"})), want: []string{"spec.when.cron"}},
		"six fields":              {spec: spec(when(v1alpha1.RotationTimes{Cron: "0 0 3 * * 6"})), want: []string{"spec.when.cron"}},
		"a zone that is none":     {spec: spec(when(v1alpha1.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Mars/Olympus"})), want: []string{"spec.when.timeZone"}},
		"the machine's own zone":  {spec: spec(when(v1alpha1.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Local"})), want: []string{"spec.when.timeZone"}},
		"a window longer than the week": {
			spec: spec(when(v1alpha1.RotationTimes{Cron: "0 3 * * 6", Window: "200h"})), want: []string{"spec.when.window"}},
		"shorter than the grace that nobody wrote": {spec: spec(when(v1alpha1.RotationTimes{Every: "1d"})), want: []string{"spec.grace.period"}},
		"shorter than the deadline": {
			spec: spec(when(v1alpha1.RotationTimes{Every: "1d"}), grace(v1alpha1.RotationGrace{Period: "1h", WaitForConsumers: true, Deadline: "2d"})), want: []string{"spec.grace.deadline"}},
		"a deadline before the period": {
			spec: spec(grace(v1alpha1.RotationGrace{Period: "2d", WaitForConsumers: true, Deadline: "1d"})), want: []string{"spec.grace.deadline"}},
		"a deadline before the period that nobody wrote": {
			spec: spec(grace(v1alpha1.RotationGrace{WaitForConsumers: true, Deadline: "1d"})), want: []string{"spec.grace.deadline"}},
		"a recipe": {spec: spec(func(s *v1alpha1.RotationScheduleSpec) {
			s.Generate = &v1alpha1.Generation{Fields: []v1alpha1.GeneratedField{{Name: "a", Generator: "random", Length: 20, Charset: "safe", Require: []v1alpha1.CharacterKind{"Upper", "Symbol"}}, {Name: "b", Generator: "bcrypt_hash"}, {Name: "c", Generator: "ec_keypair", Curve: "P-384"}}}
		})},
		"a generator that cannot meet its own requirements": {spec: spec(func(s *v1alpha1.RotationScheduleSpec) {
			s.Generate = &v1alpha1.Generation{Fields: []v1alpha1.GeneratedField{{Name: "a", Generator: "uuid"}, {Name: "b", Generator: "random", Charset: "numeric", Require: []v1alpha1.CharacterKind{"Upper"}}}}
		}), want: []string{"spec.generate.fields[1].require"}},
		"a template that is none": {spec: spec(func(s *v1alpha1.RotationScheduleSpec) {
			s.Generate = &v1alpha1.Generation{Fields: []v1alpha1.GeneratedField{{Name: "a", Generator: "template", Template: "{{file:/etc/passwd}}"}}}
		}), want: []string{"spec.generate.fields[0].template"}},
		"too long for anybody": {spec: spec(when(v1alpha1.RotationTimes{Every: "99999999999w"})), want: []string{"spec.when.every"}},
	} {
		t.Run(name, func(t *testing.T) {
			var got []string
			for _, e := range Check(c.spec, noon) {
				got = append(got, e.Field)
				if e.Detail == "" {
					t.Errorf("%s: no rule", e.Field)
				}
			}
			if got = slices.Compact(got); !slices.Equal(got, c.want) {
				t.Fatalf("wrong: %v, want %v", got, c.want)
			}
		})
	}
}

// The deadline that nobody wrote lets the next rotation come, and is never shorter than the period.
func TestDefaultDeadline(t *testing.T) {
	for name, c := range map[string]struct {
		when   v1alpha1.RotationTimes
		period v1alpha1.Duration
		want   time.Duration
	}{
		"a quarter":                {v1alpha1.RotationTimes{Every: "90d"}, "", 7 * 24 * time.Hour},
		"a long period":            {v1alpha1.RotationTimes{Every: "90d"}, "30d", 30 * 24 * time.Hour},
		"every day":                {v1alpha1.RotationTimes{Every: "1d"}, "1h", 12 * time.Hour},
		"every day, a long period": {v1alpha1.RotationTimes{Every: "1d"}, "20h", 20 * time.Hour},
		"daily":                    {v1alpha1.RotationTimes{Cron: "0 3 * * *"}, "1h", 12 * time.Hour},
		"twice, an hour apart":     {v1alpha1.RotationTimes{Cron: "0 3,4 * * *"}, "10m", 30 * time.Minute},
		"saturdays":                {v1alpha1.RotationTimes{Cron: "0 3 * * 6"}, "1h", 84 * time.Hour},
	} {
		s := spec(func(s *v1alpha1.RotationScheduleSpec) {
			s.When, s.Grace = c.when, &v1alpha1.RotationGrace{Period: c.period, WaitForConsumers: true}
		})
		if got := deadline(s, noon); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
		if wrong := Check(s, noon); len(wrong) > 0 {
			t.Errorf("%s: %v", name, wrong)
		}
	}
	if got := deadline(spec(), noon); got != 0 {
		t.Errorf("a deadline of %s for nobody", got)
	}
}

func TestLiteral(t *testing.T) {
	for pattern, want := range map[string]string{
		"**": "", "a/b": "a/", "a": "", "a/**": "a/", "a/b-*/c": "a/", "a/b/?": "a/b/", "a?/b": "", "env/*/db": "env/",
	} {
		if got := literal(pattern); got != want {
			t.Errorf("%s: %q, want %q", pattern, got, want)
		}
	}
}

// What the vault is told, and what it is told when a spec changes: what is not given any more is taken away.
func TestWrite(t *testing.T) {
	obj := &v1alpha1.RotationSchedule{Spec: *spec(func(s *v1alpha1.RotationScheduleSpec) {
		s.When = v1alpha1.RotationTimes{Cron: "0 3 * * 6", TimeZone: "Europe/Amsterdam", Window: "2h", Spread: "1h"}
		s.Grace = &v1alpha1.RotationGrace{Period: "48h", WaitForConsumers: true, Deadline: "3d"}
		s.WarnBefore = []v1alpha1.Duration{"7d", "1d"}
		s.Generate = &v1alpha1.Generation{Fields: []v1alpha1.GeneratedField{
			{Name: "password", Generator: "random", Length: 32, Charset: "safe", Require: []v1alpha1.CharacterKind{v1alpha1.CharacterDigit}},
			{Name: "id", Generator: "uuid"},
		}}
	})}
	obj.Namespace, obj.Name, obj.UID, obj.Generation = "billing", "db.main", "u1", 4
	w, err := write("home", obj, noon)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{
		"name": w.Name, "owner": w.Owner, "about": w.Description, "cron": w.Cron + " " + w.TimeZone + " " + w.Window + " " + w.Spread,
		"grace": w.GracePeriod + " " + w.GraceHold, "warn": string(w.WarnBefore),
		"password": string(w.Generate.Fields[0].Config), "id": string(w.Generate.Fields[1].Config),
	}
	want := map[string]string{
		"name": "home.billing.db.main", "owner": "k8s:home/RotationSchedule/billing/db.main/u1",
		"about": "RotationSchedule billing/db.main of cluster home, generation 4", "cron": "0 3 * * 6 Europe/Amsterdam 2h 1h",
		"grace": "172800s 259200s", "warn": "7d,1d", "password": `{"charset":"safe","length":32,"require_digit":true}`, "id": `{}`,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	obj.Spec = *spec()
	if w, err = write("home", obj, noon); err != nil {
		t.Fatal(err)
	}
	p := patch(w)
	if *p.Interval != "90d" || p.Cron != nil || *p.Window != "" || *p.GraceHold != "" || *p.WarnBefore != "" || p.Generate == nil || len(p.Generate.Fields) != 0 {
		t.Errorf("patch %+v", p)
	}
	key, uid, ours := scheduleOf("home", w.Owner)
	if key.String() != "billing/db.main" || uid != "u1" || !ours {
		t.Errorf("%s is read as %s %s %t", w.Owner, key, uid, ours)
	}
	for _, owner := range []string{"", "k8s:home/VaultPolicy//billing/u1", "k8s:other/RotationSchedule/a/b/c", "k8s:home/RotationSchedule/a/b", "k8s:home/RotationSchedules/a/b/c"} {
		if _, _, ours := scheduleOf("home", owner); ours {
			t.Errorf("%q is taken for ours", owner)
		}
	}
}
