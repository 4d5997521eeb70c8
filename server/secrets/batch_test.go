package secrets_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/secrets"
)

func codes(errs map[string]error) map[string]string {
	out := map[string]string{}
	for path, err := range errs {
		out[path] = fault.Code(err)
	}
	return out
}

func valuesOf(m map[string]secrets.Secret) map[string]string {
	out := map[string]string{}
	for path, s := range m {
		out[path] = string(s.Data.Reveal())
	}
	return out
}

func TestBatchRead(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, path := range []string{"a", "b", "secret"} {
			w.mustWrite(t, path, value(`{"v":1}`))
		}
		w.mustWrite(t, "a", value(`{"v":2}`))
		w.sets.Grant(t, guardtest.Rule(billing, "?", policy.Read))
		before := w.trail.count()
		paths := []string{"a", "b", "a", "x", "secret", "Bad//Path", "y"}
		for range 2 { // the second time from memory
			got, err := w.BatchRead(t.Context(), billing, vaultapi.BatchRequest{Paths: paths})
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(map[string]string{"a": `{"v":2}`, "b": `{"v":1}`}, valuesOf(got.Secrets)); diff != "" {
				t.Error(diff)
			}
			want := map[string]string{"x": "secret_not_found", "y": "secret_not_found", "secret": "access_denied", "Bad//Path": "invalid_path"}
			if diff := cmp.Diff(want, codes(got.Errors)); diff != "" {
				t.Error(diff)
			}
		}
		if n := w.trail.count() - before; n != 10 {
			t.Errorf("%d entries, want one per path and time", n)
		}
		one, err := w.BatchRead(t.Context(), root, vaultapi.BatchRequest{Paths: []string{"a", "b"}, Options: vaultapi.BatchOptions{Version: 2}})
		if err != nil || cmp.Diff(map[string]string{"a": `{"v":2}`}, valuesOf(one.Secrets)) != "" || fault.Code(one.Errors["b"]) != "version_not_found" {
			t.Errorf("version 2: %v, %v, %v", valuesOf(one.Secrets), codes(one.Errors), err)
		}
	})
}

func TestBatchReadFailsFast(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		for _, path := range []string{"a", "b", "c", "secret"} {
			w.mustWrite(t, path, value(`{}`))
		}
		w.sets.Grant(t, guardtest.Rule(billing, "?", policy.Read))
		tests := []struct {
			name    string
			paths   []string
			secrets []string
			errors  map[string]string
		}{
			{"all well", []string{"a", "b"}, []string{"a", "b"}, map[string]string{}},
			{"not found", []string{"a", "x", "b", "secret"}, []string{"a"}, map[string]string{"x": "secret_not_found"}},
			{"denied", []string{"a", "b", "secret", "x", "c"}, []string{"a", "b"}, map[string]string{"secret": "access_denied"}},
			{"malformed", []string{"a", "A", "secret"}, []string{"a"}, map[string]string{"A": "invalid_path"}},
			{"malformed first", []string{"A", "a"}, []string{}, map[string]string{"A": "invalid_path"}},
			{"not found before malformed", []string{"x", "A"}, []string{}, map[string]string{"x": "secret_not_found"}},
		}
		for _, test := range tests {
			before := w.trail.count()
			got, err := w.BatchRead(t.Context(), billing, vaultapi.BatchRequest{Paths: test.paths, Options: vaultapi.BatchOptions{FailFast: true}})
			if err != nil {
				t.Fatal(err)
			}
			if keys := slices.Sorted(maps.Keys(got.Secrets)); !slices.Equal(keys, test.secrets) || cmp.Diff(test.errors, codes(got.Errors)) != "" {
				t.Errorf("%s: %q and %v, want %q and %v", test.name, keys, codes(got.Errors), test.secrets, test.errors)
			}
			for _, e := range w.trail.entries[before:] {
				if e.Success && e.Path != "" && !slices.Contains(test.secrets, e.Path) {
					t.Errorf("%s: %s was read behind the failure", test.name, e.Path)
				}
			}
		}
	})
}

// TestMistake11AnEmptyBatchIsJudged: an empty array skipped the permission check (CVE-2026-43638).
func TestMistake11AnEmptyBatchIsJudged(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		poor := billing
		poor.Scopes = []string{"audit:read"}
		tooMany := make([]string, 101)
		for i := range tooMany {
			tooMany[i] = fmt.Sprintf("p/%d", i)
		}
		type call func(guard.Caller, vaultapi.BatchRequest) error
		calls := map[string]call{
			"read": func(who guard.Caller, in vaultapi.BatchRequest) error {
				_, err := w.BatchRead(t.Context(), who, in)
				return err
			},
			"metadata_read": func(who guard.Caller, in vaultapi.BatchRequest) error {
				_, err := w.BatchMetadata(t.Context(), who, in)
				return err
			},
		}
		for action, call := range calls {
			for _, paths := range [][]string{nil, {}, {"a"}, {"A//"}, {"**"}, tooMany} {
				before := w.trail.count()
				err := call(poor, vaultapi.BatchRequest{Paths: paths, ExpandWildcards: true})
				wantFault(t, err, fault.CodeInsufficientScope)
				if e := w.trail.last(t); w.trail.count() == before || e.Success || e.Action != action {
					t.Errorf("%d paths: recorded %+v", len(paths), e)
				}
			}
			for _, paths := range [][]string{nil, {}, tooMany} {
				wantFault(t, call(billing, vaultapi.BatchRequest{Paths: paths}), fault.CodeInvalidRequest, "field=paths")
			}
			before := w.trail.count()
			if err := call(billing, vaultapi.BatchRequest{Paths: []string{"A//"}}); err != nil || w.trail.count() != before+1 {
				t.Errorf("malformed paths only: %v, %d entries", err, w.trail.count()-before)
			}
		}
	})
}

func TestBatchMetadata(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		etags := map[string]string{}
		for _, path := range []string{"env/a", "env/b", "env/b/c", "other/x", "hidden"} {
			etags[path] = w.mustWrite(t, path, value(`{}`)).Etag
		}
		w.sets.Grant(t, guardtest.Rule(billing, "env/**", policy.List), guardtest.Rule(billing, "other/*", policy.List), guardtest.Rule(billing, "hidden", policy.Read))
		got, err := w.BatchMetadata(t.Context(), billing, vaultapi.BatchRequest{Paths: []string{"env/a", "hidden", "env/none", "env/*"}})
		if err != nil {
			t.Fatal(err)
		}
		if info := got.Secrets["env/a"]; len(got.Secrets) != 1 || info.Etag != etags["env/a"] || info.VersionCount != 1 {
			t.Errorf("got %+v", got.Secrets)
		}
		want := map[string]string{"hidden": "access_denied", "env/none": "secret_not_found", "env/*": "invalid_path"}
		if diff := cmp.Diff(want, codes(got.Errors)); diff != "" {
			t.Error(diff)
		}
		in := vaultapi.BatchRequest{Paths: []string{"env/**", "env/a", "o?her/*", "hid*", "nothing/**", "a**", "pki:*"}, ExpandWildcards: true}
		got, err = w.BatchMetadata(t.Context(), billing, in)
		if err != nil {
			t.Fatal(err)
		}
		if keys := slices.Sorted(maps.Keys(got.Secrets)); !slices.Equal(keys, []string{"env/a", "env/b", "env/b/c", "other/x"}) {
			t.Errorf("expanded to %q", keys)
		}
		if diff := cmp.Diff(map[string]string{"a**": "invalid_glob", "pki:*": "invalid_glob"}, codes(got.Errors)); diff != "" {
			t.Error(diff)
		}
		got, err = w.BatchMetadata(t.Context(), billing, vaultapi.BatchRequest{Paths: []string{"nothing/*"}, ExpandWildcards: true})
		if err != nil || len(got.Secrets)+len(got.Errors) != 0 {
			t.Errorf("nothing covered: %+v, %v", got, err)
		}
	})
}

func TestAGlobThatCoversTooMuchIsNotExpanded(t *testing.T) {
	eachWorld(t, func(t *testing.T, w *world) {
		paths := make([]string, 1001)
		for i := range paths {
			paths[i] = fmt.Sprintf("n/%04d", i)
		}
		w.fill(t, paths...)
		got, err := w.BatchMetadata(t.Context(), root, vaultapi.BatchRequest{Paths: []string{"n/*", "n/000?"}, ExpandWildcards: true})
		if err != nil || fault.Code(got.Errors["n/*"]) != fault.CodeInvalidRequest {
			t.Errorf("%v, %v", codes(got.Errors), err)
		}
	})
}
