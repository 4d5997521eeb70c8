package rotation_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

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
