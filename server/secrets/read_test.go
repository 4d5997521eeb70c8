package secrets_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

func TestReadOfWhatIsNotThere(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", value(`{}`))
		tests := []struct {
			path, code string
			version    int64
			details    []string
		}{
			{"b", "secret_not_found", 0, []string{"path=b"}},
			{"b", "secret_not_found", 1, []string{"path=b"}},
			{"a", "version_not_found", 2, []string{"path=a", "version=2"}},
			{"a", "version_not_found", 1 << 62, nil},
			{"a", "invalid_request", -1, []string{"field=version"}},
		}
		for _, test := range tests {
			s, err := w.Read(t.Context(), root, at(t, test.path), test.version)
			wantFault(t, err, test.code, test.details...)
			if s.Data.Size() != 0 {
				t.Errorf("%s version %d: a value came with the error", test.path, test.version)
			}
			if e := w.trail.last(t); e.Action != "read" || e.Success || e.Code != test.code || e.Path != test.path {
				t.Errorf("recorded %+v", e)
			}
		}
	})
}

// TestForbiddenLooksTheSameWhetherOrNotThere: contract OC-24.
func TestForbiddenLooksTheSameWhetherOrNotThere(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "there", value(`{}`))
		for _, path := range []string{"there", "missing"} {
			_, err := w.Read(t.Context(), billing, at(t, path), 0)
			wantFault(t, err, fault.CodeAccessDenied)
			_, err = w.ReadMetadata(t.Context(), billing, at(t, path))
			wantFault(t, err, fault.CodeAccessDenied)
			_, err = w.Versions(t.Context(), billing, at(t, path))
			wantFault(t, err, fault.CodeAccessDenied)
			_, err = w.Delete(t.Context(), billing, at(t, path), true)
			wantFault(t, err, fault.CodeAccessDenied)
			_, err = w.Restore(t.Context(), billing, at(t, path))
			wantFault(t, err, fault.CodeAccessDenied)
			_, err = w.UpdateMetadata(t.Context(), billing, at(t, path), vaultapi.MetadataPatch{})
			wantFault(t, err, fault.CodeAccessDenied)
		}
	})
}

// TestMistake03MetadataAndDeletionAreJudgedLikeTheValue: metadata and deletion got past policy (CVE-2026-3605).
func TestMistake03MetadataAndDeletionAreJudgedLikeTheValue(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "app/db", value(`{}`))
		w.sets.Grant(t, guardtest.Rule(billing, "app/*", policy.Read))
		p := at(t, "app/db")
		if _, err := w.Read(t.Context(), billing, p, 0); err != nil {
			t.Errorf("read: %v", err)
		}
		calls := map[string]func() error{
			"metadata":  func() error { _, err := w.ReadMetadata(t.Context(), billing, p); return err },
			"versions":  func() error { _, err := w.Versions(t.Context(), billing, p); return err },
			"soft":      func() error { _, err := w.Delete(t.Context(), billing, p, false); return err },
			"permanent": func() error { _, err := w.Delete(t.Context(), billing, p, true); return err },
			"restore":   func() error { _, err := w.Restore(t.Context(), billing, p); return err },
			"patch": func() error {
				_, err := w.UpdateMetadata(t.Context(), billing, p, vaultapi.MetadataPatch{Metadata: map[string]any{}})
				return err
			},
		}
		for name, call := range calls {
			if err := call(); !fault.Is(err, fault.CodeAccessDenied) {
				t.Errorf("%s with permission read only: %v", name, err)
			}
		}
		w.mustRead(t, "app/db", 0, `{}`)
	})
}

func TestPathsOfAnotherTenantAreNotThere(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		err := w.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`INSERT INTO tenants (id, partner_id, name, created_at) VALUES ('tnt_b', $1, 'b', 1)`, guard.DefaultPartner)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		other := root
		other.Tenant = "tnt_b"
		w.mustWrite(t, "a", value(`{"of":"default"}`))
		w.mustRead(t, "a", 0, `{"of":"default"}`) // now it may be in memory
		p := at(t, "a")
		_, err = w.Read(t.Context(), other, p, 0)
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.ReadMetadata(t.Context(), other, p)
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Versions(t.Context(), other, p)
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Delete(t.Context(), other, p, true)
		wantFault(t, err, fault.CodeSecretNotFound)
		_, err = w.Restore(t.Context(), other, p)
		wantFault(t, err, fault.CodeSecretNotFound)
		if list, err := w.List(t.Context(), other, all); err != nil || len(list.Secrets) != 0 {
			t.Errorf("list of the other tenant: %v, %v", pathsOf(list.Secrets), err)
		}
		batch, err := w.BatchRead(t.Context(), other, vaultapi.BatchRequest{Paths: []string{"a"}})
		if err != nil || len(batch.Secrets) != 0 || !fault.Is(batch.Errors["a"], fault.CodeSecretNotFound) {
			t.Errorf("batch of the other tenant: %v, %v", batch.Errors, err)
		}
		if info, err := w.Write(t.Context(), other, p, value(`{"of":"b"}`)); err != nil || info.Version != 1 {
			t.Errorf("equal paths are unrelated: %+v, %v", info, err)
		}
		w.mustRead(t, "a", 0, `{"of":"default"}`)
	})
}

func TestNoEntryNoAnswer(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", value(`{}`))
		w.trail.fail = errors.New("disk full")
		s, err := w.Read(t.Context(), root, at(t, "a"), 0)
		wantFault(t, err, fault.CodeUnavailable)
		if s.Data.Size() != 0 || s.Path != "" {
			t.Error("an answer left without its entry")
		}
		batch, err := w.BatchRead(t.Context(), root, vaultapi.BatchRequest{Paths: []string{"a"}})
		wantFault(t, err, fault.CodeUnavailable)
		if len(batch.Secrets) != 0 {
			t.Error("a batch left without its entries")
		}
		w.trail.fail = nil
	})
}

func TestADamagedRowDoesNotOpen(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", value(`{"a":1}`))
		w.mustWrite(t, "b", value(`{"b":1}`))
		damage := func(query string) {
			t.Helper()
			err := w.db.Update(t.Context(), func(tx *store.Tx) error { _, err := tx.Exec(query); return err })
			if err != nil {
				t.Fatal(err)
			}
		}
		damage(`UPDATE secret_versions SET sealed = (SELECT sealed FROM secret_versions WHERE path = 'b'), wrapped = (SELECT wrapped FROM secret_versions WHERE path = 'b') WHERE path = 'a'`)
		_, err := w.Read(t.Context(), root, at(t, "a"), 0)
		wantFault(t, err, fault.CodeInternal)
		if !errors.Is(err, seal.ErrTampered) {
			t.Errorf("got %v, want %v as private cause", err, seal.ErrTampered)
		}
		damage(`DELETE FROM secret_versions WHERE path = 'b'`)
		_, err = w.Read(t.Context(), root, at(t, "b"), 0)
		wantFault(t, err, fault.CodeInternal)
	})
}

// TestAReadSeesWhatWasAnsweredBefore: whoever was told that his write is done reads it, whatever is in memory.
func TestAReadSeesWhatWasAnsweredBefore(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const rounds = 60
		w.mustWrite(t, "a", value(`{}`))
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 4 {
			readers.Go(func() {
				for last := int64(0); ctx.Err() == nil; {
					s, err := w.Read(context.Background(), root, at(t, "a"), 0)
					if err != nil || s.Version < last {
						t.Errorf("version %d after %d, %v", s.Version, last, err)
						return
					}
					last = s.Version
				}
			})
		}
		for i := range rounds {
			want := fmt.Sprintf(`{"i":%d}`, i)
			w.mustWrite(t, "a", value(want))
			w.mustRead(t, "a", 0, want)
		}
		if _, err := w.Delete(t.Context(), root, at(t, "b"), false); !fault.Is(err, fault.CodeSecretNotFound) {
			t.Error(err)
		}
		stop()
		readers.Wait()
		if _, err := w.Delete(t.Context(), root, at(t, "a"), false); err != nil {
			t.Fatal(err)
		}
		_, err := w.Read(t.Context(), root, at(t, "a"), 0)
		wantFault(t, err, fault.CodeSecretNotFound)
		if _, err := w.Restore(t.Context(), root, at(t, "a")); err != nil {
			t.Fatal(err)
		}
		w.mustRead(t, "a", 0, fmt.Sprintf(`{"i":%d}`, rounds-1))
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{ExpiresIn: "1h"}})
		w.mustRead(t, "a", 0, `{}`)
		w.clock.add(2 * time.Hour)
		_, err = w.Read(t.Context(), root, at(t, "a"), 0)
		wantFault(t, err, fault.CodeSecretNotFound, "reason=expired")
	})
}
