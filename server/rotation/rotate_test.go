package rotation_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/generate"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/rotation"
)

func (w *world) rotate(path, reason string) vaultapi.SecretRotated {
	w.Helper()
	out, err := w.RotateSecret(w.Context(), root, path, vaultapi.SecretRotation{Reason: reason})
	if err != nil {
		w.Fatal(err)
	}
	return out
}

func (w *world) unreadable(path string, version int64) {
	w.Helper()
	_, err := w.secrets.Read(w.Context(), root, w.path(path), version)
	wantFault(w, err, fault.CodeVersionNotFound)
}

func TestCompromiseEndsGraceAtOnce(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", GracePeriod: "10d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		first := w.rotate("app/a", "")
		if first.Status != "completed" || first.Reason != "manual" || !first.GracePeriodEnds.Equal(w.clock.now().Add(10*day)) {
			t.Fatalf("%+v", first)
		}
		w.read("app/a", 1) // in memory, too, it is readable
		second := w.rotate("app/a", "compromise")
		if second.OldVersion != 2 || second.NewVersion != 3 || second.GracePeriodEnds.After(w.clock.now()) {
			t.Fatalf("%+v", second)
		}
		w.unreadable("app/a", 1)
		w.unreadable("app/a", 2)
		versions, err := w.secrets.Versions(t.Context(), root, w.path("app/a"))
		if err != nil {
			t.Fatal(err)
		}
		var status []string
		for _, v := range versions.Versions {
			status = append(status, v.Status)
		}
		if diff := cmp.Diff([]string{"current", "retired", "retired"}, status); diff != "" {
			t.Fatal(diff)
		}
	})
}

// Where somebody has to write, the old versions are taken away at the moment when the new one comes.
func TestCompromiseWaitsForTheWrite(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"key":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", GracePeriod: "10d"})
		w.attach(p.ID, "app/a")
		out := w.rotate("app/a", "compromise")
		if out.Status != "pending" || out.DueAt == nil || !out.DueAt.Equal(w.clock.now()) {
			t.Fatalf("%+v", out)
		}
		w.rotate("app/a", "again") // does not take the first reason back
		if diff := cmp.Diff([]string{"due true", "due true"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		w.read("app/a", 1)
		w.write("app/a", `{"key":"2"}`)
		w.unreadable("app/a", 1)
		if diff := cmp.Diff([]string{"success 1→2 compromise"}, w.history(p.ID)); diff != "" {
			t.Fatal(diff)
		}
		w.write("app/a", `{"key":"3"}`) // the cycle is closed
		w.read("app/a", 2)
	})
}

func TestRotateWithoutPolicy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"key":"1"}`)
		if out := w.rotate("app/a", ""); out.Status != "pending" || out.NewVersion != 0 {
			t.Fatalf("%+v", out)
		}
		if diff := cmp.Diff([]string{"due true"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
		_, err := w.RotateSecret(t.Context(), root, "app/none", vaultapi.SecretRotation{})
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.RotateSecret(t.Context(), root, "app/a", vaultapi.SecretRotation{Reason: "a\nb"})
		wantFault(t, err, fault.CodeValidation)
	})
}

// A write that comes while the value is made is not lost: the rotation begins again on top of it.
func TestConcurrentWriteIsKept(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		recipe, err := generate.Parse([]generate.Field{{Name: "password", Generator: "random"}})
		if err != nil {
			t.Fatal(err)
		}
		w.recipes.known = map[string]generate.Recipe{"sp": recipe}
		w.write("app/a", `{"host":"old","password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", AutoGenerate: true, SecretPolicyID: "sp"})
		w.attach(p.ID, "app/a")
		w.recipes.meanwhile = func() { w.write("app/a", `{"host":"new","password":"2"}`) }
		out := w.rotate("app/a", "")
		if out.OldVersion != 2 || out.NewVersion != 3 {
			t.Fatalf("%+v", out)
		}
		if v := w.read("app/a", 0); !strings.Contains(v, `"host":"new"`) {
			t.Fatal("the concurrent write was lost")
		}
	})
}

// A rotation by hand and one by schedule at the same moment are one rotation each at most: the job that was claimed
// before is lost.
func TestManualRotationFencesTheJob(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		w.clock.add(90 * day)
		claimed := w.due()
		w.rotate("app/a", "")
		err := w.Jobs()[0].Run(t.Context(), claimed[0])
		if err == nil && w.version("app/a") != 2 || err != nil && !errors.Is(err, jobs.ErrLost) {
			t.Fatalf("version %d, %v", w.version("app/a"), err)
		}
		if v := w.version("app/a"); v != 2 {
			t.Fatalf("version %d", v)
		}
	})
}

func TestRotatePolicyAnswersEachPath(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", AutoGenerate: true})
		for _, path := range []string{"app/a", "app/b", "other"} {
			w.write(path, `{"password":"1"}`)
			w.attach(p.ID, path)
		}
		w.write("free", `{}`)
		all, err := w.RotatePolicy(t.Context(), root, p.ID, vaultapi.PolicyRotation{})
		if err != nil || len(all) != 3 || all[0].Status != "success" || all[0].ID == "" || all[0].NewVersion != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		some, err := w.RotatePolicy(t.Context(), root, "p", vaultapi.PolicyRotation{SecretPaths: []string{"app/a", "free", "none"}})
		if err != nil || len(some) != 3 {
			t.Fatalf("%+v, %v", some, err)
		}
		if some[0].Status != "success" || some[1].Error.Code != fault.CodeAssignmentNotFound || some[2].Error.Code != fault.CodeSecretNotFound {
			t.Fatalf("%+v", some)
		}
		none, err := w.RotatePolicy(t.Context(), root, "p", vaultapi.PolicyRotation{SecretPaths: []string{}})
		if err != nil || len(none) != 0 {
			t.Fatalf("an empty list is nothing, not everything: %+v, %v", none, err)
		}
	})
}

func TestGrace(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", GracePeriod: "1h", GraceHold: "7d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		w.rotate("app/a", "")
		w.pass(2 * time.Hour)
		w.read("app/a", 1) // held
		grace := func(in vaultapi.RotationGrace) (vaultapi.RotationAssignment, error) {
			return w.Grace(t.Context(), root, p.ID, "app/a", in)
		}
		_, err := grace(vaultapi.RotationGrace{Version: 1, EndsIn: "7d"})
		wantFault(t, err, fault.CodeValidation) // beyond the rotation plus the hold
		_, err = grace(vaultapi.RotationGrace{Version: 2, EndsIn: "0s"})
		wantFault(t, err, fault.CodeVersionNotFound) // the newest never retires
		_, err = grace(vaultapi.RotationGrace{Version: 1})
		wantFault(t, err, fault.CodeValidation)
		_, err = grace(vaultapi.RotationGrace{Version: 1, EndsIn: "-1h"})
		wantFault(t, err, fault.CodeInvalidDuration)
		a, err := grace(vaultapi.RotationGrace{Version: 1, EndsAt: w.clock.now().Add(time.Hour).Format(time.RFC3339)})
		if err != nil || !a.GraceEnds.Equal(w.clock.now().Add(time.Hour)) {
			t.Fatalf("%+v, %v", a, err)
		}
		a, err = grace(vaultapi.RotationGrace{Version: 1, EndsIn: "0s"})
		if err != nil || a.PreviousVersion != 1 || !a.GraceEnds.Equal(w.clock.now()) {
			t.Fatalf("%+v, %v", a, err)
		}
		w.unreadable("app/a", 1)
		_, err = grace(vaultapi.RotationGrace{Version: 1, EndsIn: "1h"})
		wantFault(t, err, fault.CodeVersionNotFound) // what is over does not come back
	})
}

// The cache of a process that reads the newest version does not outlive what a rotation did.
func TestCacheHonoursRotation(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "90d", AutoGenerate: true})
		w.read("app/a", 0)
		w.attach(p.ID, "app/a")
		info, err := w.secrets.Read(t.Context(), root, w.path("app/a"), 0)
		if err != nil || info.RotationPolicyID == nil || *info.RotationPolicyID != p.ID {
			t.Fatalf("%+v, %v", info.SecretInfo, err)
		}
		old := w.read("app/a", 0)
		w.rotate("app/a", "compromise")
		if now := w.read("app/a", 0); now == old {
			t.Fatal("the old value was answered after the rotation")
		}
		w.unreadable("app/a", 1)
		if err := w.DeletePolicy(t.Context(), root, p.ID, ""); err != nil {
			t.Fatal(err)
		}
		info, err = w.secrets.Read(t.Context(), root, w.path("app/a"), 0)
		if err != nil || info.RotationPolicyID != nil {
			t.Fatalf("%+v, %v", info.SecretInfo, err)
		}
	})
}

// No event, audit note, history item or error of a rotation holds a value.
func TestNoValueLeaks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		const secret = "correct-horse-battery"
		w.write("app/a", `{"host":"`+secret+`","password":"`+secret+`"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", WarnBefore: "1d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		w.pass(31 * day)
		var value struct{ Password string }
		if err := json.Unmarshal([]byte(w.read("app/a", 0)), &value); err != nil {
			t.Fatal(err)
		}
		list, err := w.History(t.Context(), root, p.ID, rotation.HistoryQuery{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, seen := range []any{w.events(), w.trail.entries, list, w.dueIn(10000), w.assignment(p.ID)} {
			raw, err := json.Marshal(seen)
			if err != nil {
				t.Fatal(err)
			}
			for _, v := range []string{secret, value.Password} {
				if strings.Contains(string(raw), v) {
					t.Fatalf("a value in %s", raw)
				}
			}
		}
	})
}

// A secret that was generated from a secret policy, and is under no rotation policy, is rotated by its recipe.
func TestRotateByRecipe(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		recipe, err := generate.Parse([]generate.Field{{Name: "token", Generator: "hex"}})
		if err != nil {
			t.Fatal(err)
		}
		w.recipes.known = map[string]generate.Recipe{"sp": recipe}
		if _, err := w.secrets.Write(t.Context(), root, w.path("app/a"), vaultapi.WriteRequest{GenerateFrom: "sp"}); err != nil {
			t.Fatal(err)
		}
		out := w.rotate("app/a", "")
		if out.Status != "completed" || out.NewVersion != 2 || !out.GracePeriodEnds.Equal(w.clock.now().Add(48*time.Hour)) {
			t.Fatalf("%+v", out)
		}
		w.read("app/a", 1)
		w.clock.add(48 * time.Hour)
		w.unreadable("app/a", 1)
		w.rotate("app/a", "compromise")
		w.unreadable("app/a", 2)
		if e := w.events(rotation.EventRotated); len(e) != 2 || !strings.Contains(string(e[0].Data), `"rotation_policy_id":null`) {
			t.Fatalf("events %s", e)
		}
	})
}

// A policy's webhooks are told whatever they select.
func TestPolicyTellsItsWebhooks(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", WarnBefore: "1d", AutoGenerate: true, WebhookIDs: []string{"wh_ops"}})
		w.attach(p.ID, "app/a")
		w.pass(30 * day)
		told := 0
		for _, e := range w.events(rotation.EventDue, rotation.EventRotated, rotation.EventCompleted) {
			if diff := cmp.Diff([]string{"wh_ops"}, e.To); diff != "" {
				t.Errorf("%s: %s", e.Type, diff)
			}
			told++
		}
		if told != 3 {
			t.Errorf("%d events", told)
		}
	})
}
