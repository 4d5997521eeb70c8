package secrets_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
)

// countReads gives a path reads some days ago, as the audit indexer does.
func (w *world) countReads(tb testing.TB, path string, daysAgo, reads int64) {
	tb.Helper()
	at := w.clock.now().AddDate(0, 0, -int(daysAgo))
	err := w.db.Update(tb.Context(), func(tx *store.Tx) error {
		_, err := tx.Exec(`INSERT INTO secret_reads (tenant, path, day, reads, last) VALUES ($1, $2, $3, $4, $5)`,
			guard.DefaultTenant, path, at.Unix()/86400, reads, at.UnixMicro())
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func TestReadMetadata(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{"k":"v"}`), Metadata: map[string]any{"description": "d"}})
		written := w.mustWrite(t, "a", value(`{"k":"w"}`))
		w.countReads(t, "a", 30, 1000)
		w.countReads(t, "a", 29, 5)
		w.countReads(t, "a", 0, 2)
		onlyList := root
		onlyList.Roles, onlyList.Scopes = []string{guard.RoleSuperAdmin}, []string{secrets.ScopeList}
		info, err := w.ReadMetadata(t.Context(), onlyList, at(t, "a"))
		if err != nil {
			t.Fatal(err)
		}
		last := vaultapi.At(w.clock.now())
		want := written
		want.VersionCount, want.AccessCount30d, want.LastAccessedAt = 2, 7, &last
		if diff := cmp.Diff(want, info); diff != "" {
			t.Error(diff)
		}
		if e := w.trail.last(t); e.Action != "metadata_read" || e.Path != "a" || !e.Success {
			t.Errorf("recorded %+v", e)
		}
		if _, err := w.Read(t.Context(), onlyList, at(t, "a"), 0); !fault.Is(err, fault.CodeInsufficientScope) {
			t.Errorf("the value with scope list: %v", err)
		}
		_, err = w.ReadMetadata(t.Context(), root, at(t, "b"))
		wantFault(t, err, fault.CodeSecretNotFound, "path=b")
	})
}

func TestUpdateMetadataMerges(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		written := w.mustWrite(t, "a", vaultapi.WriteRequest{
			Data: []byte(`{"k":"v"}`), Metadata: map[string]any{"description": "d", "tags": []any{"x"}, "cost": json.Number("1.50"), "gone": true},
		})
		w.clock.add(time.Minute)
		info, err := w.UpdateMetadata(t.Context(), root, at(t, "a"), vaultapi.MetadataPatch{
			Metadata: map[string]any{"tags": []any{"y", "z"}, "gone": nil, "never": nil, "owner": "team:x"},
		})
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"description": "d", "tags": []any{"y", "z"}, "cost": json.Number("1.50"), "owner": "team:x"}
		if diff := cmp.Diff(want, info.Metadata); diff != "" {
			t.Error(diff)
		}
		if info.Version != 1 || info.Etag != written.Etag || !info.UpdatedAt.After(written.UpdatedAt.Time) || cmp.Diff([]string{"y", "z"}, info.Tags) != "" {
			t.Errorf("after the update: %+v", info)
		}
		if s := w.mustRead(t, "a", 0, `{"k":"v"}`); cmp.Diff(want, s.Metadata) != "" {
			t.Errorf("read gives metadata %v", s.Metadata)
		}
		events := w.events(t)
		if e := events[len(events)-1]; e.Type != "secret.metadata_updated" ||
			string(e.Data) != `{"version":1,"updated_by":"user:root@example.com","tags":["y","z"]}` {
			t.Errorf("event %s %s", e.Type, e.Data)
		}
		if e := w.trail.last(t); e.Action != "read" {
			t.Errorf("recorded %+v", e)
		}
	})
}

func TestUpdateMetadataIsRefused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: map[string]any{"x": strings.Repeat("x", 10<<10)}})
		patch := func(path string, m map[string]any) error {
			_, err := w.UpdateMetadata(t.Context(), root, at(t, path), vaultapi.MetadataPatch{Metadata: m})
			return err
		}
		wantFault(t, patch("b", map[string]any{}), fault.CodeSecretNotFound)
		wantFault(t, patch("a", nil), fault.CodeInvalidRequest, "field=metadata")
		wantFault(t, patch("a", map[string]any{"tags": "x"}), fault.CodeInvalidRequest)
		err := patch("a", map[string]any{"y": strings.Repeat("y", 10<<10)})
		wantFault(t, err, fault.CodeInvalidRequest)
		if fault.From(err).Kind != fault.KindTooLarge {
			t.Errorf("metadata that grows beyond 16 KiB: %v", err)
		}
		if e := w.trail.last(t); e.Action != "metadata_update" || e.Success {
			t.Errorf("recorded %+v", e)
		}
		if _, err := w.Delete(t.Context(), root, at(t, "a"), false); err != nil {
			t.Fatal(err)
		}
		wantFault(t, patch("a", map[string]any{}), fault.CodeSecretNotFound)
	})
}

func TestVersions(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		one := w.mustWrite(t, "a", value(`{}`))
		w.clock.add(time.Hour)
		two := w.mustWrite(t, "a", value(`{}`))
		list, err := w.Versions(t.Context(), root, at(t, "a"))
		if err != nil {
			t.Fatal(err)
		}
		want := []vaultapi.SecretVersion{
			{Version: 2, Status: "current", Etag: two.Etag, CreatedAt: two.UpdatedAt, CreatedBy: root.ID},
			{Version: 1, Status: "previous", Etag: one.Etag, CreatedAt: one.UpdatedAt, CreatedBy: root.ID},
		}
		if diff := cmp.Diff(vaultapi.VersionList{Path: "a", Versions: want, Data: want}, list); diff != "" {
			t.Error(diff)
		}
		_, err = w.Versions(t.Context(), root, at(t, "b"))
		wantFault(t, err, fault.CodeSecretNotFound)
		if e := w.trail.last(t); e.Action != "versions_read" || e.Success {
			t.Errorf("recorded %+v", e)
		}
	})
}
