package secrets_test

import (
	"context"
	"encoding/base64"
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
)

var all = secrets.ListQuery{Limit: 1000}

// pages follows the cursors of a query to its end.
func (w *world) pages(tb testing.TB, who guard.Caller, q secrets.ListQuery) (paths []string, pages int) {
	tb.Helper()
	for {
		list, err := w.List(tb.Context(), who, q)
		if err != nil {
			tb.Fatal(err)
		}
		if len(list.Secrets) > q.Limit || len(list.Data) != len(list.Secrets) || list.HasMore != (list.Cursor != nil) {
			tb.Fatalf("page of %d with %d in data, more %v", len(list.Secrets), len(list.Data), list.HasMore)
		}
		paths = append(paths, pathsOf(list.Secrets)...)
		if pages++; !list.HasMore {
			return paths, pages
		}
		if pages > 10_000 {
			tb.Fatal("the list has no end")
		}
		q.Cursor = *list.Cursor
	}
}

// fill puts live heads into the table at once: lists do not look at values.
func (w *world) fill(tb testing.TB, paths ...string) {
	tb.Helper()
	err := w.db.Update(tb.Context(), func(tx *store.Tx) error {
		for _, p := range paths {
			if _, err := tx.Exec(`INSERT INTO secrets (tenant, path, secret_type, version, max_versions, metadata, created_at, updated_at)
VALUES ($1, $2, 'kv', 1, 10, '{}', 1, 1)`, guard.DefaultTenant, p); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		tb.Fatal(err)
	}
}

func TestListPages(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		paths := []string{"a", "a-b", "a/b", "a/b/c", "a_b", "a0", "ab", "b", "b-/x", "b/x", "z/z/z"}
		w.fill(t, paths...)
		want := slices.Sorted(slices.Values(paths))
		for _, limit := range []int{1, 2, 3, len(paths) - 1, len(paths), len(paths) + 1, 1000} {
			got, pages := w.pages(t, root, secrets.ListQuery{Limit: limit})
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("limit %d:\n%s", limit, diff)
			}
			if wantPages := (len(paths) + limit - 1) / limit; pages != wantPages {
				t.Errorf("limit %d: %d pages, want %d", limit, pages, wantPages)
			}
		}
		for prefix, want := range map[string][]string{
			"a": {"a", "a-b", "a/b", "a/b/c", "a0", "a_b", "ab"}, "a/": {"a/b", "a/b/c"}, "b/": {"b/x"}, "z/z": {"z/z/z"}, "y": nil, "zz": nil,
		} {
			if got, _ := w.pages(t, root, secrets.ListQuery{Limit: 2, Prefix: prefix}); cmp.Diff(want, got) != "" {
				t.Errorf("prefix %q: %q, want %q", prefix, got, want)
			}
		}
		if e := w.trail.last(t); e.Action != "list" || !e.Success || !slices.Contains(e.Notes, guard.Note{Key: "prefix", Value: "zz"}) &&
			!slices.ContainsFunc(e.Notes, func(n guard.Note) bool { return n.Key == "prefix" }) {
			t.Errorf("recorded %+v", e)
		}
	})
}

// TestMistake10LimitIsNeverSkipped: limit=0 or negative skipped the page limit (OpenBao issue 3518).
func TestMistake10LimitIsNeverSkipped(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.fill(t, "a")
		for _, limit := range []int{0, -1, -1 << 31, 1001, 1 << 31} {
			list, err := w.List(t.Context(), root, secrets.ListQuery{Limit: limit})
			wantFault(t, err, fault.CodeInvalidRequest, "field=limit")
			if list.Secrets != nil || list.Data != nil {
				t.Errorf("limit %d gave a list", limit)
			}
			if e := w.trail.last(t); e.Action != "list" || e.Success {
				t.Errorf("recorded %+v", e)
			}
		}
		for _, limit := range []int{1, 1000} {
			if _, err := w.List(t.Context(), root, secrets.ListQuery{Limit: limit}); err != nil {
				t.Errorf("limit %d: %v", limit, err)
			}
		}
	})
}

func TestListItems(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.mustWrite(t, "a", vaultapi.WriteRequest{Data: []byte(`{}`), Metadata: map[string]any{"tags": []any{"x"}, "owner": "o"}})
		w.mustWrite(t, "b", value(`{}`))
		w.mustWrite(t, "c", vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{ExpiresIn: "1h"}})
		w.mustWrite(t, "deleted", value(`{}`))
		w.mustDelete(t, "deleted", false)
		w.countReads(t, "b", 1, 3)
		w.countReads(t, "b", 40, 3)
		w.clock.add(2 * time.Hour)
		for _, with := range []bool{false, true} {
			list, err := w.List(t.Context(), root, secrets.ListQuery{Limit: 10, IncludeMetadata: with})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"a", "b", "c"}, pathsOf(list.Secrets)); diff != "" {
				t.Fatal(diff)
			}
			a, b := list.Secrets[0], list.Secrets[1]
			if !slices.Equal(a.Tags, []string{"x"}) || (a.Metadata != nil) != with || with && a.Metadata["owner"] != "o" {
				t.Errorf("metadata %v: a is %+v", with, a)
			}
			if b.Tags == nil || len(b.Tags) != 0 || b.AccessCount30d != 3 || b.LastAccessedAt == nil || a.AccessCount30d != 0 || a.LastAccessedAt != nil {
				t.Errorf("metadata %v: b is %+v", with, b)
			}
		}
	})
}

// TestListShowsOnlyWhatTheCallerMayList: contract OC-25.
func TestListShowsOnlyWhatTheCallerMayList(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.fill(t, "env/dev/a", "env/dev/b", "env/dev/c/d", "env/prod/a", "env/prod/b", "shared/x", "zoo")
		tests := []struct {
			name   string
			grants []policy.Policy
			want   []string
		}{
			{"nothing", nil, nil},
			{"read is not list", []policy.Policy{guardtest.Rule(billing, "**", policy.Read)}, nil},
			{"one level", []policy.Policy{guardtest.Rule(billing, "env/dev/*", policy.List)}, []string{"env/dev/a", "env/dev/b"}},
			{"two rules", []policy.Policy{guardtest.Rule(billing, "env/*/a", policy.List), guardtest.Rule(billing, "zoo", policy.Admin)}, []string{"env/dev/a", "env/prod/a", "zoo"}},
			{"exact", []policy.Policy{guardtest.Rule(billing, "env/prod/b", policy.List), guardtest.Rule(billing, "shared/**", policy.List)}, []string{"env/prod/b", "shared/x"}},
			{"all", []policy.Policy{guardtest.Rule(billing, "**", policy.List)}, []string{"env/dev/a", "env/dev/b", "env/dev/c/d", "env/prod/a", "env/prod/b", "shared/x", "zoo"}},
			{"another class", []policy.Policy{guardtest.Rule(billing, "partner:**", policy.List)}, nil},
		}
		for _, test := range tests {
			w.sets.Grant(t, test.grants...)
			for _, limit := range []int{1, 2, 100} {
				if got, _ := w.pages(t, billing, secrets.ListQuery{Limit: limit}); cmp.Diff(test.want, got) != "" {
					t.Errorf("%s, limit %d: %q, want %q", test.name, limit, got, test.want)
				}
			}
		}
		poor := billing
		poor.Scopes = []string{secrets.ScopeRead}
		_, err := w.List(t.Context(), poor, all)
		wantFault(t, err, fault.CodeInsufficientScope)
	})
}

// TestTheScanBehindAPageIsBounded: a caller who may list little of much gets short pages, and all in the end.
func TestTheScanBehindAPageIsBounded(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		paths := make([]string, 0, 12_000)
		for i := range 12_000 {
			paths = append(paths, fmt.Sprintf("n/%05d/x", i))
		}
		paths[11_000] = "n/11000/mine"
		paths[40] = "n/00040/mine"
		w.fill(t, paths...)
		w.sets.Grant(t, guardtest.Rule(billing, "n/*/mine", policy.List))
		got, pages := w.pages(t, billing, secrets.ListQuery{Limit: 1})
		if diff := cmp.Diff([]string{"n/00040/mine", "n/11000/mine"}, got); diff != "" || pages < 3 {
			t.Errorf("in %d pages:\n%s", pages, diff)
		}
		ranges := make([]policy.Policy, 0, 300)
		for i := range 300 {
			ranges = append(ranges, guardtest.Rule(billing, fmt.Sprintf("none/%03d/**", i), policy.List))
		}
		w.sets.Grant(t, append(ranges, guardtest.Rule(billing, "zz/**", policy.List))...)
		w.fill(t, "zz/a")
		if got, pages := w.pages(t, billing, secrets.ListQuery{Limit: 100}); !slices.Equal(got, []string{"zz/a"}) || pages < 2 {
			t.Errorf("%q in %d pages", got, pages)
		}
	})
}

func TestListOfExpiring(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for path, life := range map[string]string{"env/late": "40d", "env/b": "10d", "env/a": "10d", "env/soon": "1d", "env/gone": "1h", "other/x": "5d", "env/never": ""} {
			w.mustWrite(t, path, vaultapi.WriteRequest{Data: []byte(`{}`), Options: vaultapi.WriteOptions{ExpiresIn: life}})
		}
		w.clock.add(2 * time.Hour)
		for _, limit := range []int{1, 2, 100} {
			q := secrets.ListQuery{Limit: limit, ExpiringWithin: 30 * 24 * time.Hour}
			if got, _ := w.pages(t, root, q); cmp.Diff([]string{"env/soon", "other/x", "env/a", "env/b"}, got) != "" {
				t.Errorf("limit %d: %q", limit, got)
			}
			q.Prefix = "env/"
			if got, _ := w.pages(t, root, q); cmp.Diff([]string{"env/soon", "env/a", "env/b"}, got) != "" {
				t.Errorf("limit %d, with a prefix: %q", limit, got)
			}
		}
		w.sets.Grant(t, guardtest.Rule(billing, "env/*", policy.List))
		if got, _ := w.pages(t, billing, secrets.ListQuery{Limit: 10, ExpiringWithin: 24 * time.Hour}); !slices.Equal(got, []string{"env/soon"}) {
			t.Errorf("what billing may list: %q", got)
		}
		_, err := w.List(t.Context(), root, secrets.ListQuery{Limit: 1, ExpiringWithin: -time.Hour})
		wantFault(t, err, fault.CodeInvalidDuration)
	})
}

func TestCursorsBelongToTheirList(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		w.fill(t, "env/a", "env/b", "env/hidden", "x")
		list, err := w.List(t.Context(), root, secrets.ListQuery{Limit: 1, Prefix: "env/"})
		if err != nil || list.Cursor == nil {
			t.Fatal(list, err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(*list.Cursor)
		if err != nil || strings.Contains(string(raw), "env/") {
			t.Errorf("the cursor shows a path (%v)", err)
		}
		raw[len(raw)-1] ^= 1
		otherTenant := root
		otherTenant.Tenant = "tnt_b"
		tests := map[string]struct {
			who guard.Caller
			q   secrets.ListQuery
		}{
			"another prefix":   {root, secrets.ListQuery{Limit: 1, Prefix: "e", Cursor: *list.Cursor}},
			"no prefix":        {root, secrets.ListQuery{Limit: 1, Cursor: *list.Cursor}},
			"another kind":     {root, secrets.ListQuery{Limit: 1, Prefix: "env/", ExpiringWithin: time.Hour, Cursor: *list.Cursor}},
			"another tenant":   {otherTenant, secrets.ListQuery{Limit: 1, Prefix: "env/", Cursor: *list.Cursor}},
			"a flipped bit":    {root, secrets.ListQuery{Limit: 1, Prefix: "env/", Cursor: base64.RawURLEncoding.EncodeToString(raw)}},
			"not base64":       {root, secrets.ListQuery{Limit: 1, Prefix: "env/", Cursor: "!"}},
			"too short":        {root, secrets.ListQuery{Limit: 1, Prefix: "env/", Cursor: "aaaa"}},
			"far too long":     {root, secrets.ListQuery{Limit: 1, Prefix: "env/", Cursor: strings.Repeat("a", 1<<16)}},
			"a path by itself": {root, secrets.ListQuery{Limit: 1, Prefix: "env/", Cursor: "env/a"}},
		}
		for name, test := range tests {
			if _, err := w.List(t.Context(), test.who, test.q); !fault.Is(err, fault.CodeInvalidCursor) {
				t.Errorf("%s: %v", name, err)
			}
		}
		bigger, err := w.List(t.Context(), root, secrets.ListQuery{Limit: 10, Prefix: "env/", Cursor: *list.Cursor, IncludeMetadata: true})
		if err != nil || !slices.Equal(pathsOf(bigger.Secrets), []string{"env/b", "env/hidden"}) {
			t.Errorf("the next page, of another size: %q, %v", pathsOf(bigger.Secrets), err)
		}
	})
}

func TestListPrefixMustBeTheBeginningOfAPath(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, prefix := range []string{"/", "/a", "a//", "A", "a%", "a/../b", "*", strings.Repeat("a", 600)} {
			_, err := w.List(t.Context(), root, secrets.ListQuery{Limit: 1, Prefix: prefix})
			wantFault(t, err, fault.CodeInvalidPath)
		}
	})
}

// TestAListSeesWhatWasAnsweredBefore: whatever is in memory.
func TestAListSeesWhatWasAnsweredBefore(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		ctx, stop := context.WithCancel(t.Context())
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for ctx.Err() == nil {
					if _, err := w.List(context.Background(), root, all); err != nil {
						t.Error(err)
					}
				}
			})
		}
		see := func(what string, want ...string) {
			t.Helper()
			list, err := w.List(t.Context(), root, all)
			if got := pathsOf(list.Secrets); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s: %q, %v, want %q", what, got, err, want)
			}
		}
		for range 10 {
			w.mustWrite(t, "a", value(`{}`))
			see("written", "a")
			w.mustWrite(t, "b", value(`{}`))
			see("written", "a", "b")
			if _, err := w.UpdateMetadata(t.Context(), root, at(t, "b"), vaultapi.MetadataPatch{Metadata: map[string]any{"tags": []any{"x"}}}); err != nil {
				t.Fatal(err)
			}
			if list, err := w.List(t.Context(), root, all); err != nil || !slices.Equal(list.Secrets[1].Tags, []string{"x"}) {
				t.Errorf("tags %v, %v", list.Secrets, err)
			}
			w.mustDelete(t, "a", false)
			see("deleted", "b")
			if _, err := w.Restore(t.Context(), root, at(t, "a")); err != nil {
				t.Fatal(err)
			}
			see("restored", "a", "b")
			w.mustDelete(t, "a", true)
			w.mustDelete(t, "b", true)
			see("deleted for good")
		}
		stop()
		readers.Wait()
	})
}
