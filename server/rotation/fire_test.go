package rotation_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/rotation"
)

func TestGeneratedRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/db", `{"host":"db","password":"old","port":5432}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "quarterly", Interval: "90d", WarnBefore: "7d,1d", AutoGenerate: true})
		a := w.attach(p.Name, "app/db")
		if a.NextRotationAt == nil || !a.NextRotationAt.Equal(w.clock.now().Add(90*day)) || a.State != vaultapi.RotationScheduled {
			t.Fatalf("assignment %+v", a)
		}
		w.pass(90*day + time.Hour)
		if diff := cmp.Diff([]string{"due 7d", "due 1d", "completed 2"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		var now struct {
			Host, Password string
			Port           json.Number
		}
		if err := json.Unmarshal([]byte(w.read("app/db", 0)), &now); err != nil {
			t.Fatal(err)
		}
		if now.Host != "db" || now.Port != "5432" || len(now.Password) != 32 || strings.Contains(now.Password, "old") {
			t.Fatalf("value %+v", now)
		}
		if old := w.read("app/db", 1); !strings.Contains(old, "old") {
			t.Fatal("the previous version must be readable in its grace")
		}
		w.pass(47 * time.Hour)
		_, err := w.secrets.Read(t.Context(), root, w.path("app/db"), 1)
		wantFault(t, err, fault.CodeVersionNotFound, "version=1")
		if diff := cmp.Diff([]string{"success 1→2 scheduled"}, w.history(p.ID)); diff != "" {
			t.Fatal(diff)
		}
		e := w.events(rotation.EventRotated)
		if len(e) != 1 || !strings.Contains(string(e[0].Data), `"auto_generated":true`) {
			t.Fatalf("events %v", e)
		}
	})
}

func TestWriteIsTheRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/key", `{"key":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "by-hand", Interval: "30d", GracePeriod: "24h", WarnBefore: "7d,1d"})
		w.attach(p.ID, "app/key")
		w.write("app/key", `{"key":"2"}`) // no cycle is open: an update, which leaves the schedule alone
		w.pass(22 * day)
		if w.read("app/key", 1) == "" || len(w.said()) != 0 {
			t.Fatalf("an update before the first threshold is no rotation; said %q", w.said())
		}
		w.pass(2 * day)
		w.write("app/key", `{"key":"3"}`)
		if diff := cmp.Diff([]string{"due 7d", "completed 3"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		updates := w.events("secret.updated")
		if !strings.Contains(string(updates[1].Data), `"is_rotation":true`) || strings.Contains(string(updates[0].Data), `"is_rotation":true`) {
			t.Fatalf("updates %s", updates)
		}
		if a := w.assignment(p.ID); !a.NextRotationAt.Equal(w.clock.now().Add(30*day)) || a.PreviousVersion != 2 || a.CurrentVersion != 3 {
			t.Fatalf("assignment %+v", a)
		}
		w.pass(day)
		for _, version := range []int64{1, 2} {
			_, err := w.secrets.Read(t.Context(), root, w.path("app/key"), version)
			wantFault(t, err, fault.CodeVersionNotFound)
		}
		if diff := cmp.Diff([]string{"success 2→3 scheduled"}, w.history(p.ID)); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestOverdueOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/key", `{"key":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "by-hand", Interval: "10d", GracePeriod: "24h", WarnBefore: "1d"})
		w.attach(p.ID, "app/key")
		w.pass(20 * day)
		if diff := cmp.Diff([]string{"due 1d", "due true", "overdue not_written"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		due := w.dueIn(24)
		if len(due) != 1 || !due[0].IsOverdue || due[0].State != vaultapi.RotationOverdue || due[0].HoursUntilDue != -240 {
			t.Fatalf("due %+v", due)
		}
		if diff := cmp.Diff([]string{"pending 0→0 scheduled"}, w.history(p.ID)); diff != "" {
			t.Fatal(diff)
		}
		w.write("app/key", `{"key":"2"}`)
		if due := w.dueIn(24); len(due) != 0 {
			t.Fatalf("due after the write: %+v", due)
		}
		if diff := cmp.Diff([]string{"success 1→2 scheduled"}, w.history(p.ID)); diff != "" {
			t.Fatal(diff)
		}
	})
}

// A server that was off announces the newest threshold only, and rotates once.
func TestOffForAWeek(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		w.write("app/b", `{"password":"1"}`)
		daily := w.policy(vaultapi.RotationPolicyWrite{Name: "daily", Interval: "1d", GracePeriod: "1h", WarnBefore: "2h,1h", AutoGenerate: true})
		monthly := w.policy(vaultapi.RotationPolicyWrite{Name: "monthly", Interval: "30d", WarnBefore: "20d,15d,10d,1d", AutoGenerate: true})
		w.attach(daily.ID, "app/a")
		w.attach(monthly.ID, "app/b")
		w.clock.add(21 * day)
		w.started().work()
		if diff := cmp.Diff([]string{"completed 2", "due 10d"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		if w.version("app/a") != 2 || w.version("app/b") != 1 {
			t.Fatalf("versions %d and %d", w.version("app/a"), w.version("app/b"))
		}
	})
}

// A clock that jumps back after a rotation does not make another.
func TestClockJumps(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		w.clock.add(400 * day)
		w.work()
		w.clock.add(-395 * day)
		w.work()
		w.clock.add(390 * day)
		w.work()
		if v := w.version("app/a"); v != 2 {
			t.Fatalf("version %d", v)
		}
	})
}

func TestWindow(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "sat", Cron: "0 3 * * 6", TimeZone: "Europe/Amsterdam", Window: "2h", AutoGenerate: true})
		a := w.attach(p.ID, "app/a")
		slot := time.Date(2026, 3, 7, 2, 0, 0, 0, time.UTC) // 2026-03-01 is a Sunday
		if a.NextRotationAt.Before(slot) || !a.NextRotationAt.Before(slot.Add(time.Hour)) {
			t.Fatalf("next %s", a.NextRotationAt)
		}
		w.clock.add(slot.Add(2*time.Hour).Sub(w.clock.now()) + time.Minute) // the window is over
		w.work()
		if diff := cmp.Diff([]string{"overdue window_missed"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		due := w.dueIn(1)
		if len(due) != 1 || !due[0].IsOverdue || !due[0].NextRotationAt.After(slot.Add(7*day-time.Minute)) || w.version("app/a") != 1 {
			t.Fatalf("due %+v", due)
		}
		w.clock.add(14 * day) // misses another one; that is said already
		w.work()
		w.clock.add(7*day - 30*time.Minute)
		w.work()
		if diff := cmp.Diff([]string{"overdue window_missed", "completed 2"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		if len(w.dueIn(1)) != 0 {
			t.Fatalf("due %+v", w.dueIn(1))
		}
	})
}

func TestFailuresAreSeen(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		recipe, err := generate.Parse([]generate.Field{{Name: "password", Generator: "random"}})
		if err != nil {
			t.Fatal(err)
		}
		w.recipes.known = map[string]generate.Recipe{"sp": recipe}
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", AutoGenerate: true, SecretPolicyID: "sp"})
		w.attach(p.ID, "app/a")
		w.recipes.fail = fault.Invalid(fault.CodeInvalidRequest, "secret policy sp is not active")
		w.clock.add(30 * day)
		for range 24 * 60 {
			w.work()
			w.clock.add(time.Minute)
		}
		want := []string{"failed 1", "failed 2", "failed 3", "failed 4", "failed 5"}
		if diff := cmp.Diff(want, w.said()); diff != "" {
			t.Fatal(diff)
		}
		due := w.dueIn(1)
		if len(due) != 1 || !due[0].IsOverdue || due[0].State != vaultapi.RotationFailed || due[0].Failures != 5 || due[0].LastError.Code != fault.CodeInvalidRequest {
			t.Fatalf("due %+v", due)
		}
		if p, err := w.Policy(t.Context(), root, p.ID); err != nil || p.FailedCount != 1 || p.SecretsCount != 1 {
			t.Fatalf("policy %+v, %v", p, err)
		}
		w.recipes.fail = nil
		w.pass(day)
		if diff := cmp.Diff(append(want, "completed 2"), w.said()); diff != "" {
			t.Fatal(diff)
		}
		if a := w.assignment(p.ID); a.State != vaultapi.RotationScheduled || a.Failures != 0 || a.LastError != nil {
			t.Fatalf("assignment %+v", a)
		}
		if h := w.history(p.ID); len(h) != 6 || h[0] != "success 1→2 scheduled" {
			t.Fatalf("history %q", h)
		}
	})
}

func TestDeletedInMidRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		if _, err := w.secrets.Delete(t.Context(), root, w.path("app/a"), false); err != nil {
			t.Fatal(err)
		}
		w.clock.add(29 * day)
		if a := w.assignment(p.ID); a.State != vaultapi.RotationSuspended || len(w.dueIn(1000)) != 0 {
			t.Fatalf("assignment %+v", a)
		}
		if _, err := w.secrets.Restore(t.Context(), root, w.path("app/a")); err != nil {
			t.Fatal(err)
		}
		w.pass(2 * day)
		if v := w.version("app/a"); v != 2 {
			t.Fatalf("version %d", v)
		}
		if _, err := w.secrets.Delete(t.Context(), root, w.path("app/a"), true); err != nil {
			t.Fatal(err)
		}
		if list, err := w.Assignments(t.Context(), root, p.ID, rotation.AssignmentQuery{Limit: 10}); err != nil || len(list.Secrets) != 0 {
			t.Fatalf("assignments %+v, %v", list.Secrets, err)
		}
		w.write("app/a", `{"password":"new"}`)
		w.pass(60 * day)
		if v := w.version("app/a"); v != 1 {
			t.Fatalf("a secret that was made anew is under no policy: version %d", v)
		}
	})
}

func TestExpiredIsNotRevived(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		in := vaultapi.WriteRequest{Data: json.RawMessage(`{"password":"1"}`), Options: vaultapi.WriteOptions{ExpiresIn: "20d", RotationPolicyID: "p"}}
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "15d", AutoGenerate: true})
		info, err := w.secrets.Write(t.Context(), root, w.path("app/a"), in)
		if err != nil || info.RotationPolicyID == nil || *info.RotationPolicyID != p.ID {
			t.Fatalf("%+v, %v", info, err)
		}
		w.pass(16 * day)
		after, err := w.secrets.ReadMetadata(t.Context(), root, w.path("app/a"))
		if err != nil || after.Version != 2 || !after.ExpiresAt.Equal(after.UpdatedAt.Add(20*day)) {
			t.Fatalf("a rotated version lives as long as the one before did: %+v, %v", after, err)
		}
		if _, err := w.PatchPolicy(t.Context(), root, "p", vaultapi.RotationPolicyPatch{Interval: text("25d")}); err != nil {
			t.Fatal(err)
		}
		w.pass(30 * day)
		if a := w.assignment(p.ID); a.State != vaultapi.RotationSuspended || w.version("app/a") != 2 {
			t.Fatalf("assignment %+v", a)
		}
		_, err = w.RotateSecret(t.Context(), root, "app/a", vaultapi.SecretRotation{})
		wantFault(t, err, fault.CodeSecretNotFound, "reason=expired")
		w.write("app/a", `{"password":"by hand"}`)
		w.work()
		if v := w.version("app/a"); v != 3 || w.assignment(p.ID).State != vaultapi.RotationScheduled {
			t.Fatalf("version %d, %+v", v, w.assignment(p.ID))
		}
	})
}

func text(s string) *string { return &s }
