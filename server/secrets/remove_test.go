package secrets_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secrets"
)

func (w *world) mustDelete(tb testing.TB, path string, permanent bool) vaultapi.DeleteResult {
	tb.Helper()
	r, err := w.Delete(tb.Context(), root, at(tb, path), permanent)
	if err != nil {
		tb.Fatalf("delete %s: %v", path, err)
	}
	return r
}

func TestSoftDeleteAndRestore(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "old/path", value(`{"v":1}`))
		w.mustWrite(t, "old/path", value(`{"v":2}`))
		until := vaultapi.At(w.clock.now().Add(30 * 24 * time.Hour))
		want := vaultapi.DeleteResult{Path: "old/path", Deleted: true, VersionCount: 2, DeletedAt: vaultapi.At(w.clock.now()), RecoverableUntil: &until}
		if diff := cmp.Diff(want, w.mustDelete(t, "old/path", false)); diff != "" {
			t.Error(diff)
		}
		p := at(t, "old/path")
		for _, version := range []int64{0, 1} {
			_, err := w.Read(t.Context(), root, p, version)
			wantFault(t, err, fault.CodeSecretNotFound)
		}
		_, err := w.ReadMetadata(t.Context(), root, p)
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Delete(t.Context(), root, p, false)
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Write(t.Context(), root, p, value(`{}`))
		wantFault(t, err, fault.CodeSecretExists, "path=old/path")

		info, err := w.Restore(t.Context(), root, p)
		if err != nil || info.Version != 2 || info.VersionCount != 2 {
			t.Fatalf("restored %+v, %v", info, err)
		}
		w.mustRead(t, "old/path", 0, `{"v":2}`)
		w.mustRead(t, "old/path", 1, `{"v":1}`)
		if _, err := w.Restore(t.Context(), root, p); err != nil {
			t.Errorf("restoring what is not deleted: %v", err)
		}
		var got []string
		for _, e := range w.events(t)[2:] {
			got = append(got, e.Type+" "+string(e.Data))
		}
		wantEvents := []string{
			`secret.deleted {"version_count":2,"deleted_by":"user:root@example.com","permanent":false,"recoverable_until":"2026-03-31T12:00:00Z"}`,
			`secret.restored {"version":2,"restored_by":"user:root@example.com"}`,
		}
		if diff := cmp.Diff(wantEvents, got); diff != "" {
			t.Error(diff)
		}
	})
}

func TestPermanentDelete(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", value(`{"v":1}`))
		w.countReads(t, "a", 0, 3)
		first := w.mustRead(t, "a", 0, `{"v":1}`)
		r := w.mustDelete(t, "a", true)
		if !r.Permanent || r.RecoverableUntil != nil || r.VersionCount != 1 {
			t.Errorf("answer %+v", r)
		}
		_, err := w.Restore(t.Context(), root, at(t, "a"))
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Delete(t.Context(), root, at(t, "a"), true)
		wantFault(t, err, fault.CodeSecretNotFound)
		if again := w.mustWrite(t, "a", value(`{"v":2}`)); again.Version != 1 || again.Etag == first.Etag {
			t.Errorf("written anew: %+v", again)
		}
		w.mustRead(t, "a", 0, `{"v":2}`)
		if info, err := w.ReadMetadata(t.Context(), root, at(t, "a")); err != nil || info.AccessCount30d != 0 {
			t.Errorf("the new secret has the counters of the old: %+v, %v", info, err)
		}
		w.mustDelete(t, "a", false)
		if r := w.mustDelete(t, "a", true); !r.Permanent {
			t.Errorf("a soft-deleted secret, permanently: %+v", r)
		}
		w.mustWrite(t, "a", value(`{}`))
		if e := w.events(t)[1]; string(e.Data) != `{"version_count":1,"deleted_by":"user:root@example.com","permanent":true}` {
			t.Errorf("event %s", e.Data)
		}
	})
}

func TestRestoreByTheRightToDeleteOrToWrite(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", value(`{}`))
		tests := []struct {
			name       string
			scopes     []string
			permission policy.Permission
			code       string
		}{
			{"delete", []string{secrets.ScopeDelete}, policy.Delete, ""},
			{"write", []string{secrets.ScopeWrite}, policy.Write, ""},
			{"both scopes, write granted", everyScope, policy.Write, ""},
			{"scope of one, permission of the other", []string{secrets.ScopeDelete}, policy.Write, fault.CodeAccessDenied},
			{"read", everyScope, policy.Read, fault.CodeAccessDenied},
			{"no scope", []string{secrets.ScopeRead}, policy.Admin, fault.CodeInsufficientScope},
		}
		for _, test := range tests {
			w.mustDelete(t, "a", false)
			who := billing
			who.Scopes = test.scopes
			w.sets.Grant(t, guardtest.Rule(who, "a", test.permission))
			_, err := w.Restore(t.Context(), who, at(t, "a"))
			if got := fault.Code(err); got != test.code {
				t.Errorf("%s: %q, want %q", test.name, got, test.code)
			}
			if e := w.trail.last(t); e.Action != "secret_restore" || e.Code != test.code {
				t.Errorf("%s: recorded %+v", test.name, e)
			}
			if _, err := w.Restore(t.Context(), root, at(t, "a")); err != nil {
				t.Fatal(err)
			}
		}
	})
}
