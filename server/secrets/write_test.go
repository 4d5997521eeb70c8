package secrets_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secrets"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestWriteAndReadBack(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		first := w.mustWrite(t, "app/db", vaultapi.WriteRequest{
			Data: json.RawMessage(`{"n": 18446744073709551616.10}`), Metadata: map[string]any{"tags": []any{"a"}, "owner": "team:x", "n": json.Number("12345678901234567890")},
		})
		if first.Version != 1 || first.SecretType != "kv" || first.Etag == "" || first.MaxVersions != 10 || !slices.Equal(first.Tags, []string{"a"}) {
			t.Errorf("first write: %+v", first)
		}
		if e := w.trail.last(t); e.Action != "write" || !e.Success || e.Path != "app/db" || e.IdentityID != root.ID {
			t.Errorf("recorded %+v", e)
		}
		w.clock.add(time.Minute)
		second := w.mustWrite(t, "app/db", vaultapi.WriteRequest{Data: json.RawMessage(`{"n":2}`), SecretType: "json"})
		if second.Version != 2 || second.SecretType != "json" || second.Etag == first.Etag || second.CreatedAt != first.CreatedAt || !second.UpdatedAt.After(first.UpdatedAt.Time) {
			t.Errorf("second write: %+v", second)
		}
		if diff := cmp.Diff(first.Metadata, second.Metadata); diff != "" {
			t.Errorf("a write without metadata changed it:\n%s", diff)
		}
		s := w.mustRead(t, "app/db", 0, `{"n":2}`)
		if s.Etag != second.Etag || s.Version != 2 || s.SecretType != "json" {
			t.Errorf("read %+v", s.SecretInfo)
		}
		if diff := cmp.Diff(map[string]any{"tags": []any{"a"}, "owner": "team:x", "n": json.Number("12345678901234567890")}, s.Metadata); diff != "" {
			t.Errorf("metadata:\n%s", diff)
		}
		if old := w.mustRead(t, "app/db", 1, `{"n":18446744073709551616.10}`); old.Etag != first.Etag || old.Version != 1 {
			t.Errorf("version 1: %+v", old.SecretInfo)
		}
		w.mustRead(t, "app/db", 2, `{"n":2}`)
		if third := w.mustWrite(t, "app/db", value(`{}`)); third.SecretType != "json" {
			t.Errorf("a write without a type made it %s", third.SecretType)
		}
	})
}

func TestWriteIsRefused(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "taken", value(`{}`))
		i := func(n int64) *int64 { return &n }
		tags := func(n, length int) map[string]any {
			return map[string]any{"tags": slices.Repeat([]any{strings.Repeat("é", length)}, n)}
		}
		tests := []struct {
			name, path, code string
			in               vaultapi.WriteRequest
			details          []string
		}{
			{"no data", "a", "invalid_request", vaultapi.WriteRequest{}, []string{"field=data"}},
			{"unknown type", "a", "invalid_secret_type", vaultapi.WriteRequest{Data: []byte(`{}`), SecretType: "KV"}, nil},
			{"reserved", "a/metadata", "invalid_path", value(`{}`), []string{"reason=reserved_segment"}},
			{"duration", "a", "invalid_duration", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{ExpiresIn: "soon"}}, []string{"field=options.expires_in"}},
			{"no duration", "a", "invalid_duration", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{ExpiresIn: "-1h"}}, nil},
			{"too many versions", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{MaxVersions: 1001}}, []string{"field=options.max_versions"}},
			{"fewer than no versions", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{MaxVersions: -1}}, nil},
			{"too many tags", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: tags(65, 1)}, []string{"field=metadata.tags"}},
			{"long tag", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: tags(1, 129)}, []string{"field=metadata.tags[0]"}},
			{"tag of another type", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: map[string]any{"tags": []any{1}}}, nil},
			{"tags of another type", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: map[string]any{"tags": "a"}}, nil},
			{"owner of another type", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: map[string]any{"owner": 1}}, []string{"field=metadata.owner"}},
			{"big metadata", "a", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: map[string]any{"x": strings.Repeat("x", 16<<10)}}, []string{"field=metadata"}},
			{"cas on nothing", "a", "version_conflict", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{CASVersion: i(1)}}, []string{"current_version=0"}},
			{"cas for nothing", "taken", "version_conflict", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{CASVersion: i(0)}}, []string{"current_version=1"}},
			{"cas of a past version", "taken", "version_conflict", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{CASVersion: i(7)}}, []string{"current_version=1"}},
			{"negative cas", "taken", "invalid_request", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{CASVersion: i(-1)}}, nil},
		}
		for _, test := range tests {
			p, err := secrets.ParsePath(test.path)
			if err != nil {
				t.Fatal(err)
			}
			info, err := w.Write(t.Context(), root, p, test.in)
			wantFault(t, err, test.code, test.details...)
			if info.Path != "" {
				t.Errorf("%s: an answer came with the error", test.name)
			}
			if e := w.trail.last(t); e.Action != "write" || e.Success || e.Code != test.code || e.Path != test.path {
				t.Errorf("%s: recorded %+v", test.name, e)
			}
		}
		if _, err := w.Write(t.Context(), root, secrets.Path{}, value(`{}`)); !fault.Is(err, fault.CodeInvalidPath) {
			t.Errorf("the zero path: %v", err)
		}
		ok := vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: tags(64, 120), Options: vaultapi.WriteOptions{CASVersion: i(0), MaxVersions: 1000}}
		if info := w.mustWrite(t, "b", ok); len(info.Tags) != 64 || info.Version != 1 {
			t.Errorf("at the limits: %+v", info)
		}
		w.mustWrite(t, "c", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: tags(1, 128)})
		if n := len(w.events(t)); n != 3 {
			t.Errorf("%d events, want those of the three writes that succeeded", n)
		}
	})
}

func TestVersionsBeyondMaxVersionsAreRemoved(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{"v":1}`), Options: vaultapi.WriteOptions{MaxVersions: 3}})
		for v := 2; v <= 5; v++ {
			w.mustWrite(t, "a", value(fmt.Sprintf(`{"v":%d}`, v)))
		}
		for v := int64(1); v <= 2; v++ {
			_, err := w.Read(t.Context(), root, at(t, "a"), v)
			wantFault(t, err, "version_not_found", "path=a")
		}
		w.mustRead(t, "a", 3, `{"v":3}`)
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{"v":6}`), Options: vaultapi.WriteOptions{MaxVersions: 1}})
		list, err := w.Versions(t.Context(), root, at(t, "a"))
		if err != nil || len(list.Versions) != 1 || list.Versions[0].Version != 6 || list.Versions[0].Status != "current" {
			t.Errorf("versions %+v, %v", list.Versions, err)
		}
	})
}

func TestExpiry(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		info := w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{ExpiresIn: "1h"}})
		if info.ExpiresAt == nil || !info.ExpiresAt.Equal(w.clock.now().Add(time.Hour)) {
			t.Errorf("expires at %v", info.ExpiresAt)
		}
		w.clock.add(time.Hour - time.Second)
		w.mustRead(t, "a", 0, `{}`)
		w.clock.add(time.Second)
		for _, version := range []int64{0, 1} {
			_, err := w.Read(t.Context(), root, at(t, "a"), version)
			wantFault(t, err, "secret_not_found", "reason=expired", "path=a")
		}
		if info, err := w.ReadMetadata(t.Context(), root, at(t, "a")); err != nil || info.ExpiresAt == nil {
			t.Errorf("metadata of an expired secret: %+v, %v", info, err)
		}
		if info := w.mustWrite(t, "a", value(`{"b":1}`)); info.ExpiresAt != nil || info.Version != 2 {
			t.Errorf("a new value without expires_in: %+v", info)
		}
		w.mustRead(t, "a", 0, `{"b":1}`)
	})
}

func TestWriteEvents(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{}`), SecretType: "api_key", Metadata: map[string]any{"tags": []any{"x"}}, Options: vaultapi.WriteOptions{ExpiresIn: "1d"}})
		w.mustWrite(t, "a", value(`{}`))
		var got []string
		for _, e := range w.events(t) {
			if e.Tenant != guard.DefaultTenant || e.Path != "a" || e.IdentityID != root.ID || e.RequestID != root.RequestID {
				t.Errorf("event %+v", e)
			}
			got = append(got, e.Type+" "+string(e.Data))
		}
		want := []string{
			`secret.created {"version":1,"secret_type":"api_key","created_by":"user:root@example.com","tags":["x"],"expires_at":"2026-03-02T12:00:00Z"}`,
			`secret.updated {"old_version":1,"new_version":2,"updated_by":"user:root@example.com","is_rotation":false}`,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	})
}

// TestEventsFollowVersions: 16 writers on few paths, with creations that race; each version is announced
// once, per path in order.
func TestEventsFollowVersions(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		const writers, paths, each = 16, 5, 12
		var wait sync.WaitGroup
		for n := range writers {
			wait.Go(func() {
				for i := range each {
					p, err := secrets.ParsePath(fmt.Sprintf("p/%d", (n+i)%paths))
					if err == nil {
						_, err = w.Write(context.Background(), root, p, value(`{}`))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
		wait.Wait()
		last, total := map[string]int64{}, int64(0)
		for _, e := range w.events(t) {
			var d struct {
				Version    int64 `json:"version"`
				OldVersion int64 `json:"old_version"`
				NewVersion int64 `json:"new_version"`
			}
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			if version := d.Version + d.NewVersion; version != last[e.Path]+1 || d.OldVersion != last[e.Path] {
				t.Errorf("%s %s of %s comes after version %d", e.Type, e.Data, e.Path, last[e.Path])
			}
			last[e.Path]++
			total++
		}
		if total != writers*each {
			t.Errorf("%d events for %d writes", total, writers*each)
		}
		for path, version := range last {
			if s, err := w.Read(t.Context(), root, at(t, path), 0); err != nil || s.Version != version {
				t.Errorf("%s: version %d, %v, want %d", path, s.Version, err, version)
			}
		}
	})
}

func TestOnlyOneOfManyWinsACompareAndSet(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for round := range int64(3) {
			var won, lost sync.Map
			var wait sync.WaitGroup
			for n := range 8 {
				wait.Go(func() {
					in := vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{CASVersion: &round}}
					if _, err := w.Write(context.Background(), root, at(t, "a"), in); err == nil {
						won.Store(n, nil)
					} else if fault.Is(err, fault.CodeVersionConflict) {
						lost.Store(n, nil)
					} else {
						t.Error(err)
					}
				})
			}
			wait.Wait()
			count := func(m *sync.Map) (n int) { m.Range(func(any, any) bool { n++; return true }); return n }
			if count(&won) != 1 || count(&lost) != 7 {
				t.Errorf("round %d: %d won, %d lost", round, count(&won), count(&lost))
			}
		}
	})
}

func TestAWriteThatIsNotCommittedLeavesNothing(t *testing.T) {
	var commits storetest.Commits
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		w := newWorld(t, db)
		w.mustWrite(t, "a", value(`{"v":1}`))
		w.mustRead(t, "a", 0, `{"v":1}`)
		commits.Fail(errors.New("disk full"))
		_, err := w.Write(t.Context(), root, at(t, "a"), value(`{"v":2}`))
		wantFault(t, err, fault.CodeUnavailable)
		if _, err := w.Write(t.Context(), root, at(t, "b"), value(`{}`)); !fault.Is(err, fault.CodeUnavailable) {
			t.Errorf("a new secret: %v", err)
		}
		commits.Fail(nil)
		w.mustRead(t, "a", 0, `{"v":1}`)
		if _, err := w.Read(t.Context(), root, at(t, "b"), 0); !fault.Is(err, fault.CodeSecretNotFound) {
			t.Errorf("the secret that was not written: %v", err)
		}
		if info := w.mustWrite(t, "a", value(`{"v":2}`)); info.Version != 2 {
			t.Errorf("version %d after a failed write, want 2", info.Version)
		}
	}, commits.Option)
}

func TestWriteNeedsScopeAndPermission(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.sets.Grant(t, guardtest.Rule(billing, "env/billing/**", policy.Write))
		if _, err := w.Write(t.Context(), billing, at(t, "env/billing/db"), value(`{}`)); err != nil {
			t.Errorf("allowed: %v", err)
		}
		_, err := w.Write(t.Context(), billing, at(t, "env/other/db"), value(`not even JSON`))
		wantFault(t, err, fault.CodeAccessDenied, "path=env/other/db")
		_, err = w.Read(t.Context(), billing, at(t, "env/billing/db"), 0)
		wantFault(t, err, fault.CodeAccessDenied)
		poor := billing
		poor.Scopes = []string{secrets.ScopeRead}
		_, err = w.Write(t.Context(), poor, at(t, "env/billing/db"), value(`{}`))
		wantFault(t, err, fault.CodeInsufficientScope, "required_scope=secrets:write")
		if e := w.trail.last(t); e.Success || e.Code != fault.CodeInsufficientScope {
			t.Errorf("recorded %+v", e)
		}
	})
}
