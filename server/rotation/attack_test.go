package rotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/rotation"
)

// This file attacks.

// rotator is the ServiceAccount of a RotationSchedule in namespace billing.
var rotator = guard.Caller{
	Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:billing:rotator", Cluster: "home", Namespace: "billing",
	Scopes: []string{rotation.ScopeRotate},
}

// operator manages what its cluster owns.
var operator = guard.Caller{
	Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:scaivault:operator", Cluster: "home", Namespace: "scaivault",
	Scopes: []string{rotation.ScopeManage, rotation.ScopeRelease},
}

const owner = "k8s:home/RotationSchedule/billing/nightly/uid-1"

// schedule makes a policy as the operator does for a RotationSchedule in namespace billing.
func (w *world) schedule() vaultapi.RotationPolicy {
	w.Helper()
	p, err := w.CreatePolicy(w.Context(), operator, vaultapi.RotationPolicyWrite{Name: "nightly", Interval: "30d", AutoGenerate: true, Owner: owner})
	if err != nil {
		w.Fatal(err)
	}
	return p
}

func TestAttachNeedsRotateAndWrite(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("billing/db", `{"password":"1"}`)
		p := w.schedule()
		for _, held := range [][]policy.Permission{{}, {policy.Rotate}, {policy.Write}, {policy.Read, policy.List, policy.Delete}} {
			w.sets.Grant(t, guardtest.Rule(rotator, "billing/**", append([]policy.Permission{policy.List}, held...)...))
			_, err := w.Attach(t.Context(), rotator, p.ID, "billing/db")
			wantFault(t, err, fault.CodeAccessDenied, "path=billing/db")
		}
		w.sets.Grant(t, guardtest.Rule(rotator, "billing/**", policy.Rotate, policy.Write))
		a, err := w.Attach(t.Context(), rotator, p.ID, "billing/db")
		if err != nil || a.AttachedBy != rotator.ID {
			t.Fatalf("%+v, %v", a, err)
		}
		_, err = w.Attach(t.Context(), rotator, p.ID, "billing/none")
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Attach(t.Context(), rotator, p.ID, "other/db") // existence is not told
		wantFault(t, err, fault.CodeAccessDenied)
	})
}

// A token with secrets:rotate attaches only onto a policy of its own namespace's schedules.
func TestAttachOntoForeignPolicies(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("billing/db", `{"password":"1"}`)
		w.schedule()
		w.policy(vaultapi.RotationPolicyWrite{Name: "everybodys", Interval: "30d", AutoGenerate: true})
		for name, o := range map[string]string{
			"neighbour": "k8s:home/RotationSchedule/payments/x/uid-2", "prefix": "k8s:home/RotationSchedule/billing-2/x/uid-3",
			"kind": "k8s:home/VaultPolicy/billing/x/uid-4",
		} {
			if _, err := w.CreatePolicy(t.Context(), operator, vaultapi.RotationPolicyWrite{Name: name, Interval: "30d", AutoGenerate: true, Owner: o}); err != nil {
				t.Fatal(err)
			}
		}
		w.sets.Grant(t, guardtest.Rule(rotator, "**", policy.Admin))
		for name, code := range map[string]string{
			"everybodys": fault.CodeInsufficientScope, "neighbour": fault.CodeManagedResource, "prefix": fault.CodeManagedResource,
			"kind": fault.CodeManagedResource, "absent": fault.CodeRotationPolicyNotFound,
		} {
			_, err := w.Attach(t.Context(), rotator, name, "billing/db")
			wantFault(t, err, code)
			wantFault(t, w.Detach(t.Context(), rotator, name, "billing/db"), code)
			_, err = w.Grace(t.Context(), rotator, name, "billing/db", vaultapi.RotationGrace{Version: 1, EndsIn: "0s"})
			wantFault(t, err, code)
		}
		elsewhere := rotator
		elsewhere.Cluster = "other"
		_, err := w.Attach(t.Context(), elsewhere, "nightly", "billing/db")
		wantFault(t, err, fault.CodeManagedResource)
		admin := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:admin", Scopes: []string{rotation.ScopeAdmin}}
		_, err = w.Attach(t.Context(), admin, "nightly", "billing/db") // an administrator would lend it rights that its namespace lacks
		wantFault(t, err, fault.CodeManagedResource, "owner="+owner)
		wantFault(t, w.DeletePolicy(t.Context(), admin, "nightly", ""), fault.CodeManagedResource)
		wantFault(t, w.DeletePolicy(t.Context(), admin, "nightly", owner), fault.CodeForbidden)
	})
}

// An assignment does not outlive the right to make it.
func TestLostRightIsNotRotatedBy(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("billing/db", `{"password":"1"}`)
		p := w.schedule()
		granted := guardtest.Rule(rotator, "billing/**", policy.Rotate, policy.Write)
		w.sets.Grant(t, granted)
		if _, err := w.Attach(t.Context(), rotator, p.ID, "billing/db"); err != nil {
			t.Fatal(err)
		}
		for i, left := range [][]policy.Permission{{policy.Rotate}, {policy.Write}} {
			w.sets.Grant(t, guardtest.Rule(rotator, "billing/**", left...))
			w.clock.add(30 * day)
			w.work()
			due := w.dueIn(1)
			if w.version("billing/db") != 1 || len(due) != 1 || due[0].LastError.Code != fault.CodeAccessDenied || due[0].Failures != int64(i+1) {
				t.Fatalf("version %d, due %+v", w.version("billing/db"), due)
			}
		}
		if h := w.history(p.ID); len(h) != 2 || h[0] != "failed 0→0 scheduled" {
			t.Fatalf("history %q", h)
		}
		w.sets.Grant(t, granted)
		w.pass(day)
		if w.version("billing/db") != 2 {
			t.Fatal("what is allowed again is rotated again")
		}
		if diff := cmp.Diff([]string{"failed 1", "failed 2", "completed 2"}, w.said()); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestOwnedPolicyIsEditedByItsOwnerOnly(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.schedule()
		patch := func(who guard.Caller, o string) error {
			_, err := w.PatchPolicy(t.Context(), who, p.ID, vaultapi.RotationPolicyPatch{Description: text("x"), Owner: o})
			return err
		}
		admin := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:admin", Scopes: []string{rotation.ScopeAdmin}}
		wantFault(t, patch(admin, ""), fault.CodeManagedResource, "owner="+owner)
		wantFault(t, patch(admin, owner), fault.CodeForbidden)
		wantFault(t, patch(operator, "k8s:home/RotationSchedule/billing/nightly/uid-9"), fault.CodeManagedResource)
		other := operator
		other.Cluster = "other"
		wantFault(t, patch(other, owner), fault.CodeForbidden)
		wantFault(t, patch(rotator, owner), fault.CodeInsufficientScope)
		_, err := w.SetActive(t.Context(), admin, p.ID, "", false)
		wantFault(t, err, fault.CodeManagedResource)
		if err := patch(operator, owner); err != nil {
			t.Fatal(err)
		}
		_, err = w.CreatePolicy(t.Context(), admin, vaultapi.RotationPolicyWrite{Name: "forged", Interval: "30d", Owner: owner})
		wantFault(t, err, fault.CodeForbidden)
		released := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeServiceAccount, ID: "sa:x", Cluster: "home", Scopes: []string{rotation.ScopeRelease}}
		w.policy(vaultapi.RotationPolicyWrite{Name: "free", Interval: "30d"})
		wantFault(t, w.DeletePolicy(t.Context(), released, "free", ""), fault.CodeInsufficientScope)
		if err := w.DeletePolicy(t.Context(), released, p.ID, owner); err != nil {
			t.Fatal(err)
		}
	})
}

// Another tenant sees and touches nothing.
func TestForeignTenant(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.write("app/a", `{"password":"1"}`)
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", AutoGenerate: true})
		w.attach(p.ID, "app/a")
		stranger := root
		stranger.Tenant = "tnt_other"
		_, err := w.Policy(t.Context(), stranger, p.ID)
		wantFault(t, err, fault.CodeRotationPolicyNotFound)
		_, err = w.History(t.Context(), stranger, p.ID, rotation.HistoryQuery{Limit: 10})
		wantFault(t, err, fault.CodeRotationPolicyNotFound)
		_, err = w.Attach(t.Context(), stranger, p.ID, "app/a")
		wantFault(t, err, fault.CodeRotationPolicyNotFound)
		_, err = w.RotatePolicy(t.Context(), stranger, p.ID, vaultapi.PolicyRotation{})
		wantFault(t, err, fault.CodeRotationPolicyNotFound)
		_, err = w.RotateSecret(t.Context(), stranger, "app/a", vaultapi.SecretRotation{})
		wantFault(t, err, fault.CodeSecretNotFound)
		wantFault(t, w.DeletePolicy(t.Context(), stranger, p.ID, ""), fault.CodeRotationPolicyNotFound)
		due, err := w.Due(t.Context(), stranger, rotation.DueQuery{Within: 10000 * 3600e9, IncludeOverdue: true, Limit: 10})
		if err != nil || len(due.Secrets) != 0 {
			t.Fatalf("%+v, %v", due, err)
		}
	})
}

// Who may rotate something sees only what he may rotate or list, in the due list and when he rotates a whole policy.
func TestDueTellsNoForeignPaths(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		p := w.policy(vaultapi.RotationPolicyWrite{Name: "p", Interval: "30d", AutoGenerate: true})
		for _, path := range []string{"billing/a", "billing/b", "hidden/a", "hidden/z", "listed/a"} {
			w.write(path, `{"password":"1"}`)
			w.attach(p.ID, path)
		}
		w.sets.Grant(t, guardtest.Rule(rotator, "billing/*", policy.Rotate), guardtest.Rule(rotator, "listed/*", policy.List))
		var seen []string
		for cursor := ""; ; {
			list, err := w.Due(t.Context(), rotator, rotation.DueQuery{Within: 1000 * 3600e9, IncludeOverdue: true, Limit: 1, Cursor: cursor})
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list.Secrets {
				seen = append(seen, d.Path)
			}
			if list.Cursor == nil {
				break
			}
			cursor = *list.Cursor
		}
		if diff := cmp.Diff([]string{"billing/a", "billing/b", "listed/a"}, seen); diff != "" {
			t.Fatal(diff)
		}
		items, err := w.RotatePolicy(t.Context(), rotator, p.ID, vaultapi.PolicyRotation{})
		if err != nil || len(items) != 3 || items[2].Error.Code != fault.CodeAccessDenied || items[0].Status != "success" {
			t.Fatalf("%+v, %v", items, err)
		}
		if w.version("listed/a") != 1 || w.version("hidden/a") != 1 {
			t.Fatal("rotated without the right")
		}
		nobody := rotator
		nobody.Scopes = []string{"secrets:read"}
		_, err = w.Due(t.Context(), nobody, rotation.DueQuery{Limit: 1})
		wantFault(t, err, fault.CodeInsufficientScope)
	})
}

// A writer attaches by the write only what he may also rotate, and nothing to another's policy.
func TestWriteAttachesWithinRights(t *testing.T) {
	each(t, func(t *testing.T, w *world) {
		w.schedule()
		w.policy(vaultapi.RotationPolicyWrite{Name: "free", Interval: "30d", AutoGenerate: true})
		w.policy(vaultapi.RotationPolicyWrite{Name: "second", Interval: "30d", AutoGenerate: true})
		writer := guard.Caller{Tenant: guard.DefaultTenant, Type: guard.TypeUser, ID: "user:w", Scopes: []string{"secrets:write"}}
		write := func(policyName string) error {
			in := vaultapi.WriteRequest{Data: []byte(`{"password":"1"}`), Options: vaultapi.WriteOptions{RotationPolicyID: policyName}}
			_, err := w.secrets.Write(t.Context(), writer, w.path("app/a"), in)
			return err
		}
		w.sets.Grant(t, guardtest.Rule(writer, "app/*", policy.Write))
		wantFault(t, write("free"), fault.CodeAccessDenied)
		w.sets.Grant(t, guardtest.Rule(writer, "app/*", policy.Write, policy.Rotate))
		wantFault(t, write("nightly"), fault.CodeManagedResource)
		wantFault(t, write("absent"), fault.CodeRotationPolicyNotFound)
		if _, err := w.secrets.ReadMetadata(t.Context(), root, w.path("app/a")); !fault.Is(err, fault.CodeSecretNotFound) {
			t.Fatalf("a refused write left a secret: %v", err)
		}
		if err := write("free"); err != nil {
			t.Fatal(err)
		}
		wantFault(t, write("second"), fault.CodeSecretAssigned)
	})
}
