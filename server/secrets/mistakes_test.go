package secrets_test

import (
	"strings"
	"testing"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
)

// The mistakes of others that have a surface here and no test beside the code that they are about
// (docs/security/mistakes.md).

// A list of a path with a trailing slash matched a broader grant than the path without (CVE-2026-63131): a prefix
// narrows what is shown and decides nothing.
func TestMistake01PrefixGrantsNothing(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.fill(t, "env", "env/dev/a", "env/dev/b", "env/prod/a", "env/prod/b", "env/prod/c/d")
		w.sets.Grant(t, guardtest.Rule(billing, "env/*", policy.List), guardtest.Rule(billing, "env/*/a", policy.List), guardtest.Rule(billing, "env/**", policy.Read))
		for prefix, want := range map[string]string{
			"": "env/dev/a env/prod/a", "env": "env/dev/a env/prod/a", "env/": "env/dev/a env/prod/a", "env/prod": "env/prod/a",
			"env/prod/": "env/prod/a", "env/prod/b": "", "env/prod/c/": "",
		} {
			got, _ := w.pages(t, billing, secrets.ListQuery{Limit: 100, Prefix: prefix})
			if strings.Join(got, " ") != want {
				t.Errorf("prefix %q shows %q, want %q", prefix, got, want)
			}
		}
	})
}

// The time an answer took told which names exist (CVE-2025-6011). Who is refused is refused before anybody looks:
// these calls do not even notice that there is nothing left to look at.
func TestMistake24RefusalDoesNotLook(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "there", value(`{}`))
		err := w.db.Update(t.Context(), func(tx *store.Tx) error {
			_, err := tx.Exec(`ALTER TABLE secrets RENAME TO taken_away`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.ReadMetadata(t.Context(), root, at(t, "there")); err == nil || fault.Is(err, fault.CodeAccessDenied) {
			t.Fatalf("the table is still there: %v", err)
		}
		for _, path := range []string{"there", "missing"} {
			p := at(t, path)
			for name, call := range map[string]func() error{
				"read":      func() error { _, err := w.Read(t.Context(), billing, p, 0); return err },
				"metadata":  func() error { _, err := w.ReadMetadata(t.Context(), billing, p); return err },
				"versions":  func() error { _, err := w.Versions(t.Context(), billing, p); return err },
				"write":     func() error { _, err := w.Write(t.Context(), billing, p, value(`{}`)); return err },
				"soft":      func() error { _, err := w.Delete(t.Context(), billing, p, false); return err },
				"permanent": func() error { _, err := w.Delete(t.Context(), billing, p, true); return err },
				"restore":   func() error { _, err := w.Restore(t.Context(), billing, p); return err },
				"patch": func() error {
					_, err := w.UpdateMetadata(t.Context(), billing, p, vaultapi.MetadataPatch{Metadata: map[string]any{}})
					return err
				},
				"batch": func() error {
					out, err := w.BatchRead(t.Context(), billing, vaultapi.BatchRequest{Paths: []string{path}})
					if err != nil {
						return err
					}
					return out.Errors[path]
				},
			} {
				if err := call(); !fault.Is(err, fault.CodeAccessDenied) {
					t.Errorf("%s of %s: %v", name, path, err)
				}
			}
		}
	})
}
