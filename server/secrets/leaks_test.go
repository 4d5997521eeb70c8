package secrets_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

const canary = "c4n4ry-5e1f"

// out collects everything that may be shown to somebody who may not see a value.
type out struct{ bytes.Buffer }

func (o *out) show(things ...any) {
	text, doc := slog.New(slog.NewTextHandler(o, nil)), slog.New(slog.NewJSONHandler(o, nil))
	for _, thing := range things {
		fmt.Fprintf(o, "%v %+v %#v %s %q %x\n", thing, thing, thing, thing, thing, thing)
		text.Info("shown", "thing", thing)
		doc.Info("shown", "thing", thing)
		if raw, err := json.Marshal(thing); err == nil {
			o.Write(raw)
		}
		if err, ok := thing.(error); ok && err != nil {
			f := fault.From(err)
			fmt.Fprintf(o, "%v %v %v", f.Message, f.Details, errors.Unwrap(f))
		}
	}
}

func (o *out) check(t *testing.T, where string) {
	t.Helper()
	decimal := strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]")
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), decimal} {
		if i := strings.Index(o.String(), form); i >= 0 {
			t.Errorf("%s shows a value: …%s…", where, o.String()[max(0, i-80):min(o.Len(), i+80)])
		}
	}
}

// TestMistake38NoFailureShowsAValue: JSON and provider errors put secret bytes into statuses and events
// (External Secrets issues 5884, 7149); malformed payloads echoed secrets into logs (CVE-2025-4166).
func TestMistake38NoFailureShowsAValue(t *testing.T) {
	var commits storetest.Commits
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w, shown := newWorld(t, db), &out{}
		fails := func(name string, err error) {
			t.Helper()
			if err == nil {
				t.Errorf("%s did not fail", name)
			}
			shown.show(err)
		}
		data := fmt.Sprintf(`{"password":%q}`, canary)
		write := func(path string, in vaultapi.WriteRequest) error {
			info, err := w.Write(t.Context(), root, at(t, path), in)
			shown.show(info)
			return err
		}
		if err := write("a", value(data)); err != nil {
			t.Fatal(err)
		}
		for _, bad := range []string{
			data[:len(data)-1], data + data, canary, `"` + canary + `"`, `{"a":"` + canary + `","a":1}`, `{"a":` + canary + `}`,
			`{"a":"` + canary + "\xff\"}", strings.Repeat(`{"a":`, 80) + `"` + canary + `"` + strings.Repeat("}", 80), `{"a":"` + strings.Repeat(canary, 100_000) + `"}`,
		} {
			fails("data", write("b", value(bad)))
		}
		zero := int64(0)
		fails("type", write("b", vaultapi.WriteRequest{Data: []byte(data), SecretType: "x"}))
		fails("duration", write("b", vaultapi.WriteRequest{Data: []byte(data), Options: vaultapi.WriteOptions{ExpiresIn: "x"}}))
		fails("cas", write("a", vaultapi.WriteRequest{Data: []byte(data), Options: vaultapi.WriteOptions{CASVersion: &zero}}))
		fails("reserved", write("a/metadata", value(data)))
		_, err := w.Write(t.Context(), billing, at(t, "a"), value(data))
		fails("denied", err)
		commits.Fail(errors.New("disk full"))
		fails("commit", write("a", value(data)))
		commits.Fail(nil)
		s, err := w.Read(t.Context(), root, at(t, "a"), 0)
		if err != nil || !strings.Contains(string(s.Data.Reveal()), canary) {
			t.Fatal("the canary is not where it belongs", err)
		}
		batch, err := w.BatchRead(t.Context(), root, vaultapi.BatchRequest{Paths: []string{"a", "x"}})
		shown.show(s, &s, []secrets.Secret{s}, struct{ hidden secrets.Secret }{s}, batch, err)
		showRest(t, w, shown)
		fails("version", func() error { _, err := w.Read(t.Context(), root, at(t, "a"), 9); return err }())
		damage := func(tx *store.Tx) error {
			_, err := tx.Exec(`UPDATE secret_versions SET path = 'moved'`)
			return err
		}
		if err := db.Update(t.Context(), damage); err != nil {
			t.Fatal(err)
		}
		w = &world{Service: secrets.New(secrets.Deps{DB: db, Keys: w.keys, Guard: guardOf(w), Jobs: w.jobs}), db: db, keys: w.keys, trail: w.trail, sets: w.sets, clock: w.clock}
		fails("damaged", func() error { _, err := w.Read(t.Context(), root, at(t, "a"), 0); return err }())
		fails("soft-deleted", func() error {
			w.mustDelete(t, "a", false)
			return write("a", value(data))
		}())
		for _, e := range w.trail.entries {
			shown.show(e)
		}
		for _, e := range w.events(t) {
			shown.show(e, string(e.Data))
		}
		shown.check(t, "an error, entry, event or log line")
	}, commits.Option)
}

// showRest drives the calls that answer without values.
func showRest(t *testing.T, w *world, shown *out) {
	t.Helper()
	w.sets.Grant(t, guardtest.Rule(billing, "**", policy.Admin))
	info, err1 := w.ReadMetadata(t.Context(), billing, at(t, "a"))
	versions, err2 := w.Versions(t.Context(), billing, at(t, "a"))
	list, err3 := w.List(t.Context(), billing, secrets.ListQuery{Limit: 10, IncludeMetadata: true})
	batch, err4 := w.BatchMetadata(t.Context(), billing, vaultapi.BatchRequest{Paths: []string{"a"}})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		t.Fatal(err)
	}
	shown.show(info, versions, list, batch)
}

func TestNothingOnDiskHoldsAValue(t *testing.T) {
	options := storetest.Options(t, store.SQLite)
	w := newWorld(t, storetest.Open(t, options))
	w.mustWrite(t, "a-path-that-is-seen", value(fmt.Sprintf(`{"password":%q}`, canary)))
	w.mustRead(t, "a-path-that-is-seen", 0, fmt.Sprintf(`{"password":%q}`, canary))
	w.clock.add(time.Hour)
	found := false
	files, err := filepath.Glob(filepath.Join(options.DataDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(content, []byte(canary)) {
			t.Errorf("%s holds the value", file)
		}
		found = found || bytes.Contains(content, []byte("a-path-that-is-seen"))
	}
	if !found {
		t.Error("not even the path was found: the test looks in the wrong place")
	}
}
