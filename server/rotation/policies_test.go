package rotation_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/rotation"
	"github.com/scailabs/scaivault/server/store"
)

func TestPolicyRules(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		recipe := func(generator, config string) *vaultapi.RotationRecipe {
			return &vaultapi.RotationRecipe{Fields: []vaultapi.SecretPolicyField{{Name: "password", Generator: generator, Config: []byte(config)}}}
		}
		for name, test := range map[string]struct {
			in     vaultapi.RotationPolicyWrite
			code   string
			fields []string
		}{
			"no schedule":            {vaultapi.RotationPolicyWrite{}, fault.CodeValidation, []string{"interval"}},
			"two schedules":          {vaultapi.RotationPolicyWrite{Interval: "90d", Cron: "0 3 * * 6"}, fault.CodeValidation, []string{"interval"}},
			"zero":                   {vaultapi.RotationPolicyWrite{Interval: "0d"}, fault.CodeInvalidDuration, nil},
			"negative":               {vaultapi.RotationPolicyWrite{Interval: "-1d"}, fault.CodeInvalidDuration, nil},
			"shorter than grace":     {vaultapi.RotationPolicyWrite{Interval: "1h", GracePeriod: "2h"}, fault.CodeValidation, []string{"grace_period"}},
			"shorter than default":   {vaultapi.RotationPolicyWrite{Interval: "1d"}, fault.CodeValidation, []string{"grace_period"}},
			"hold shorter":           {vaultapi.RotationPolicyWrite{Interval: "90d", GracePeriod: "2d", GraceHold: "1d"}, fault.CodeValidation, []string{"grace_hold"}},
			"hold longer":            {vaultapi.RotationPolicyWrite{Interval: "9d", GracePeriod: "2d", GraceHold: "10d"}, fault.CodeValidation, []string{"grace_hold"}},
			"no such day":            {vaultapi.RotationPolicyWrite{Cron: "0 0 30 2 *"}, fault.CodeValidation, []string{"cron"}},
			"no cron":                {vaultapi.RotationPolicyWrite{Cron: "every tuesday"}, fault.CodeValidation, []string{"cron"}},
			"no zone":                {vaultapi.RotationPolicyWrite{Cron: "0 3 * * 6", TimeZone: "Mars/Olympus"}, fault.CodeValidation, []string{"time_zone"}},
			"window of interval":     {vaultapi.RotationPolicyWrite{Interval: "90d", Window: "2h"}, fault.CodeValidation, []string{"window"}},
			"spread over window":     {vaultapi.RotationPolicyWrite{Cron: "0 3 * * 6", Window: "1h", Spread: "2h"}, fault.CodeValidation, []string{"spread"}},
			"spread over interval":   {vaultapi.RotationPolicyWrite{Interval: "3d", Spread: "3d"}, fault.CodeValidation, []string{"spread"}},
			"cron closer than grace": {vaultapi.RotationPolicyWrite{Cron: "0 * * * *"}, fault.CodeValidation, []string{"grace_period"}},
			"warning":                {vaultapi.RotationPolicyWrite{Interval: "90d", WarnBefore: "7d,soon"}, fault.CodeInvalidDuration, nil},
			"recipe without mode":    {vaultapi.RotationPolicyWrite{Interval: "90d", Generate: recipe("random", "{}")}, fault.CodeValidation, []string{"generate"}},
			"impossible recipe": {vaultapi.RotationPolicyWrite{Interval: "90d", AutoGenerate: true,
				Generate: recipe("random", `{"length":2,"require_upper":true,"require_lower":true,"require_digit":true}`)},
				fault.CodeValidation, []string{"generate.fields[0].config.length"}},
			"static value": {vaultapi.RotationPolicyWrite{Interval: "90d", AutoGenerate: true, Generate: recipe("static", `{"value":"x"}`)},
				fault.CodeValidation, []string{"generate.fields[0].generator"}},
			"two recipes": {vaultapi.RotationPolicyWrite{Interval: "90d", AutoGenerate: true, Generate: recipe("random", "{}"), SecretPolicyID: "sp"},
				fault.CodeValidation, []string{"generate"}},
			"absent recipe": {vaultapi.RotationPolicyWrite{Interval: "90d", AutoGenerate: true, SecretPolicyID: "sp"}, fault.CodeSecretPolicyNotFound, nil},
			"no webhook":    {vaultapi.RotationPolicyWrite{Interval: "90d", WebhookIDs: []string{"wh_ops", "wh_none"}}, fault.CodeValidation, []string{"webhook_ids"}},
			"webhook":       {vaultapi.RotationPolicyWrite{Interval: "90d", WebhookIDs: []string{"hook"}}, fault.CodeValidation, []string{"webhook_ids[0]"}},
		} {
			test.in.Name = "p"
			_, err := w.CreatePolicy(t.Context(), root, test.in)
			if !fault.Is(err, test.code) {
				t.Errorf("%s: %v, want %s", name, err, test.code)
				continue
			}
			fields, _ := fault.From(err).Details["fields"].(map[string]string)
			if diff := cmp.Diff(test.fields, slices.Sorted(maps.Keys(fields))); diff != "" {
				t.Errorf("%s: %s (%v)", name, diff, fields)
			}
		}
		for _, name := range []string{"", "a b", ".", "rot_" + strings.Repeat("a", 26)} {
			_, err := w.CreatePolicy(t.Context(), root, vaultapi.RotationPolicyWrite{Name: name, Interval: "90d"})
			wantFault(t, err, fault.CodeValidation)
		}
		made := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Cron: "0 3 * * 6", TimeZone: "Europe/Amsterdam", Window: "30m", WarnBefore: "7d,1d"})
		if made.SpreadSeconds != 1800 || made.GracePeriod != "48h" || made.GracePeriodSeconds != 172800 || made.WindowSeconds != 1800 {
			t.Fatalf("%+v", made)
		}
		_, err := w.CreatePolicy(t.Context(), root, vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d"})
		wantFault(t, err, fault.CodePolicyExists, "policy_id="+made.ID)
	})
}

func TestPatch(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", WarnBefore: "7d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		w.clock.add(10 * day)
		patched, err := w.PatchPolicy(t.Context(), root, "p", vaultapi.RotationPolicyPatch{Interval: text("30d")})
		if err != nil || patched.Interval != "30d" || patched.SecretsCount != 1 || patched.WarnBefore != "7d" {
			t.Fatalf("%+v, %v", patched, err)
		}
		if a := w.assignment(p.ID); !a.NextRotationAt.Equal(w.clock.now().Add(20 * day)) {
			t.Fatalf("%+v", a)
		}
		if _, err := w.PatchPolicy(t.Context(), root, "p", vaultapi.RotationPolicyPatch{Cron: text("0 3 * * *"), Spread: text("1h")}); err != nil {
			wantFault(t, err, fault.CodeValidation) // 48h of grace do not fit
		}
		patched, err = w.PatchPolicy(t.Context(), root, "p", vaultapi.RotationPolicyPatch{Cron: text("0 3 1 * *")})
		if err != nil || patched.Interval != "" || patched.TimeZone != "UTC" {
			t.Fatalf("%+v, %v", patched, err)
		}
		if a := w.assignment(p.ID); a.NextRotationAt.Before(time.Date(2026, 4, 1, 3, 0, 0, 0, time.UTC)) || a.NextRotationAt.After(time.Date(2026, 4, 1, 4, 0, 0, 0, time.UTC)) {
			t.Fatalf("%+v", a)
		}
		_, err = w.PatchPolicy(t.Context(), root, "absent", vaultapi.RotationPolicyPatch{})
		wantFault(t, err, fault.CodeRotationPolicyNotFound)
	})
}

// A pause keeps assignments; what came due meanwhile is rotated once when it ends.
func TestDisable(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "10d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		if _, err := w.SetActive(t.Context(), root, p.ID, "", false); err != nil {
			t.Fatal(err)
		}
		w.pass(100 * day)
		if a := w.assignment(p.ID); a.State != vaultapi.RotationPaused || w.version("app/a") != 1 || len(w.dueIn(1000)) != 0 {
			t.Fatalf("%+v", a)
		}
		if out := w.rotate("app/a", ""); out.Status != "completed" { // by hand it goes on
			t.Fatalf("%+v", out)
		}
		w.clock.add(11 * day)
		if _, err := w.SetActive(t.Context(), root, p.ID, "", true); err != nil {
			t.Fatal(err)
		}
		w.pass(day)
		if w.version("app/a") != 3 {
			t.Fatalf("version %d", w.version("app/a"))
		}
	})
}

// A change of a policy with more secrets than one transaction takes reaches all of them, as does its deletion.
func TestLargePolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const many = 1203
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", AutoGenerate: true})
		for i := range many {
			path := fmt.Sprintf("app/%04d", i)
			w.write(path, `{"password":"1"}`)
			w.attach(p.ID, path)
		}
		if _, err := w.PatchPolicy(t.Context(), root, p.ID, vaultapi.RotationPolicyPatch{Interval: text("10d")}); err != nil {
			t.Fatal(err)
		}
		w.work()
		due := 0
		for cursor := ""; ; {
			list, err := w.Due(t.Context(), root, rotation.DueQuery{Within: 10 * day, PolicyID: "p", Limit: 1000, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			due += len(list.Secrets)
			if list.Cursor == nil {
				break
			}
			cursor = *list.Cursor
		}
		if due != many {
			t.Fatalf("%d of %d secrets are planned anew", due, many)
		}
		if err := w.DeletePolicy(t.Context(), root, p.ID, ""); err != nil {
			t.Fatal(err)
		}
		w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d"}) // the name is free at once
		w.work()
		var left, linked, queued int
		for query, to := range map[string]*int{
			`SELECT COUNT(*) FROM rotation_assignments`:                         &left,
			`SELECT COUNT(*) FROM secrets WHERE rotation_policy_id IS NOT NULL`: &linked,
			`SELECT COUNT(*) FROM jobs`:                                         &queued,
		} {
			if err := w.db.QueryRow(t.Context(), query).Scan(to); err != nil {
				t.Fatal(err)
			}
		}
		if left != 0 || linked != 0 || queued != 0 {
			t.Fatalf("left over: %d assignments, %d links, %d jobs", left, linked, queued)
		}
	})
}

// The due list reads what is due, not what there is: 10^5 secrets, of which 500 are due, 50 of them of one policy.
func TestDuePlan(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", AutoGenerate: true})
		w.fill(p.ID, w.policy(vaultapi.RotationPolicyWrite{Name: "q", Interval: "90d", AutoGenerate: true}).ID, 100_000)
		for want, q := range map[int]rotation.DueQuery{
			500: {Within: 24 * time.Hour, IncludeOverdue: true, Limit: 1000}, 50: {Within: 24 * time.Hour, IncludeOverdue: true, PolicyID: "p", Limit: 1000},
		} {
			list, err := w.Due(t.Context(), root, q)
			if err != nil || len(list.Secrets) != want {
				t.Fatalf("%d, want %d: %v", len(list.Secrets), want, err)
			}
		}
		for query, index := range map[string]string{rotation.DuePlan: "rotation_assignments_due", rotation.DueOfPolicyPlan: "rotation_assignments_policy_due"} {
			plan := w.explain(query, p.ID)
			if !strings.Contains(plan, index) || strings.Contains(plan, "Seq Scan on rotation_assignments") || strings.Contains(plan, "SCAN a") ||
				strings.Contains(strings.ToUpper(plan), "USE TEMP B-TREE") || strings.Contains(plan, "Sort ") {
				t.Errorf("%s", plan)
			}
		}
	})
}

// fill makes assignments without secrets, the first 500 due within an hour and the others in a year. Every tenth is of
// the first policy.
func (w *world) fill(policyID, other string, n int) {
	w.Helper()
	at := w.clock.now().Add(time.Hour).UnixMicro()
	err := w.db.Update(w.Context(), func(tx *store.Tx) error {
		for from := 0; from < n; from += 1000 {
			var rows []string
			for i := from; i < from+1000; i++ {
				due, policy := at, other
				if i%10 == 0 {
					policy = policyID
				}
				if i >= 500 {
					due += int64(365*day/time.Microsecond) + int64(i)
				}
				rows = append(rows, fmt.Sprintf("('%s','p/%06d','%s','x','{}','scheduled',1,0,%d,%d,0,0,'','',0,'','',0,0,0)", root.Tenant, i, policy, due, due))
			}
			_, err := tx.Exec(`INSERT INTO rotation_assignments (tenant, path, policy_id, attached_by, identity, state, listed, base_at, next_at, due_at, warned,
announced, pending, reason, failures, error_code, error_message, previous_version, current_version, created_at) VALUES ` + strings.Join(rows, ","))
			if err != nil {
				return err
			}
		}
		for _, table := range []string{"rotation_assignments", "rotation_policies"} {
			if _, err := tx.Exec(`ANALYZE ` + table); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		w.Fatal(err)
	}
}

// explain is how the engine runs a due query.
func (w *world) explain(query, policyID string) string {
	w.Helper()
	args := []any{root.Tenant, 0, "", w.clock.now().Add(day).UnixMicro(), 100}
	if strings.Contains(query, "$6") {
		args = append(args, policyID)
	}
	prefix := "EXPLAIN "
	if w.db.Engine() == store.SQLite {
		prefix = "EXPLAIN QUERY PLAN "
	}
	rows, err := w.db.Query(w.Context(), prefix+query, args...)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	var plan strings.Builder
	for rows.Next() {
		var a, b, c any
		var line string
		dest := []any{&line}
		if w.db.Engine() == store.SQLite {
			dest = []any{&a, &b, &c, &line}
		}
		if err := rows.Scan(dest...); err != nil {
			w.Fatal(err)
		}
		plan.WriteString(line + "\n")
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return plan.String()
}
