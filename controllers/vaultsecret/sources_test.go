package vaultsecret

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// directory is what one identity may list.
type directory struct {
	paths  []string
	denied bool
}

func (d directory) Below(_ context.Context, prefix string, limit int) ([]string, error) {
	var out []string
	for _, p := range d.paths {
		if strings.HasPrefix(p, prefix) && len(out) <= limit {
			out = append(out, p)
		}
	}
	return out, nil
}

func (d directory) MayList(context.Context, string) error {
	if d.denied {
		return &vaultapi.Error{Status: 403, Code: "access_denied"}
	}
	return nil
}

// evidence knows which paths an event said were deleted; certain answers the second look.
type evidence struct {
	deleted []string
	certain bool
}

func (e evidence) Deleted(path string) bool { return slices.Contains(e.deleted, path) }
func (e evidence) Present(types.UID)        {}
func (e evidence) Missing(_ types.UID, paths []string, _ time.Time) bool {
	return e.certain || slices.ContainsFunc(paths, e.Deleted)
}

func newRun(e evidence, sources ...v1alpha1.Source) *run {
	s := &run{Reconciler: &Reconciler{Absences: e, Now: time.Now}, identity: "sa:ns:app"}
	s.obj.UID, s.obj.Spec.Sources = "u1", sources
	return s
}

var below = v1alpha1.Source{Name: "all", PathPrefix: "app/"}

func (s *run) holding(paths ...string) *run {
	var all []v1alpha1.SyncedSource
	for _, p := range paths {
		all = append(all, v1alpha1.SyncedSource{Source: "all", Path: p, ETag: "e-" + p})
	}
	s.remember(all)
	return s
}

func (s *run) plan() string {
	var out []string
	for i := range s.wanted {
		w := &s.wanted[i]
		text := w.path
		if w.held {
			text += " held"
		}
		if w.below() && !w.listed {
			text += " hidden"
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// Which secrets an object with a prefix reads: those listed, and those that it holds and that only went out of sight.
func TestResolve(t *testing.T) {
	cases := []struct {
		name string
		run  *run
		sees directory
		want string
		fail string // reason
		says string
	}{
		{name: "listed, in order, and nothing beside the prefix", run: newRun(evidence{}, below), sees: directory{paths: []string{"app/b", "app/a/c", "apple", "other/x"}}, want: "app/a/c, app/b"},
		{name: "held and new", run: newRun(evidence{}, below).holding("app/a"), sees: directory{paths: []string{"app/a", "app/b"}}, want: "app/a held, app/b"},
		{name: "held and out of sight", run: newRun(evidence{}, below).holding("app/a", "app/b"), sees: directory{paths: []string{"app/b"}}, want: "app/a held hidden, app/b held"},
		{name: "held and deleted by an event", run: newRun(evidence{deleted: []string{"app/a"}}, below).holding("app/a", "app/b"), sees: directory{paths: []string{"app/b"}}, want: "app/b held"},
		{name: "the last one deleted", run: newRun(evidence{deleted: []string{"app/a"}}, below).holding("app/a"), sees: directory{denied: true}, want: ""},
		{name: "held below another prefix", run: newRun(evidence{}, below).holding("web/a"), sees: directory{paths: []string{"app/b"}}, want: "app/b"},
		{name: "nothing there", run: newRun(evidence{}, below), sees: directory{}, want: ""},
		{name: "no right", run: newRun(evidence{}, below), sees: directory{denied: true}, fail: "AccessDenied", says: "sa:ns:app may list nothing below app/: no VaultPolicy allows it; let a VaultPolicy name the ServiceAccount as a subject and allow list and read on app/**"},
		{name: "too many", run: newRun(evidence{}, below), sees: directory{paths: many("app/", prefixLimit+1)}, fail: "TooManySecrets", says: "at most 500"},
		{name: "as many as may be", run: newRun(evidence{}, below), sees: directory{paths: many("app/", prefixLimit)}, want: strings.Join(many("app/", prefixLimit), ", ")},
		{name: "too many in two prefixes", run: newRun(evidence{}, below, v1alpha1.Source{Name: "web", PathPrefix: "web/"}),
			sees: directory{paths: append(many("app/", 300), many("web/", 201)...)}, fail: "TooManySecrets", says: "source web"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			err := c.run.resolve(t.Context(), c.sees)
			if c.fail != "" {
				if !reconcile.IsStalled(err) || reconcile.ReasonOf(err) != c.fail || !strings.Contains(err.Error(), c.says) {
					t.Fatalf("got %v, want %s that says %q", err, c.fail, c.says)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, c.run.plan()); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func many(prefix string, n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprintf("%s%04d", prefix, i))
	}
	return out
}

// More secrets than the status has room for are remembered all the same, so that a lost right takes no key away.
func TestHeldBeyondTheStatus(t *testing.T) {
	paths := many("app/", 70)
	s := newRun(evidence{}, below).holding(paths...)
	if st := s.obj.Status; len(st.Synced) != v1alpha1.StatusListLimit || st.SyncedCount != 70 {
		t.Fatalf("%d of %d in the status", len(st.Synced), st.SyncedCount)
	}
	if err := s.resolve(t.Context(), directory{paths: paths[:60]}); err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(s.plan(), "app/0069 held hidden") || len(s.wanted) != 70 {
		t.Errorf("%d wanted: %s", len(s.wanted), s.plan())
	}
	s.forget()
	if held := s.held(); len(held) != 0 {
		t.Errorf("still held: %v", held)
	}
}

// What the vault's answer about one secret means, by where it stands.
func TestOneSecret(t *testing.T) {
	at := v1alpha1.Source{Name: "all", Path: "app/a"}
	cases := []struct {
		name   string
		w      wanted
		code   string // "": found
		want   outcome
		reason string
	}{
		{"found", wanted{src: &at}, "", found, ""},
		{"missing", wanted{src: &at}, "secret_not_found", missing, ""},
		{"denied", wanted{src: &at}, "access_denied", 0, "AccessDenied"},
		{"below: found", wanted{src: &below, listed: true}, "", found, ""},
		{"below: new and denied", wanted{src: &below, listed: true}, "access_denied", refused, ""},
		{"below: held and denied", wanted{src: &below, listed: true, held: true}, "access_denied", 0, "AccessDenied"},
		{"below: hidden and denied", wanted{src: &below, held: true}, "insufficient_scope", 0, "AccessDenied"},
		{"below: hidden and there", wanted{src: &below, held: true}, "", 0, "AccessDenied"},
		{"below: hidden and gone", wanted{src: &below, held: true}, "secret_not_found", missing, ""},
		{"broken", wanted{src: &at}, "internal_error", 0, "VaultUnavailable"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s, w := newRun(evidence{}, *c.w.src), c.w
			w.path = "app/a"
			got := &vaultapi.BatchResponse{Secrets: map[string]vaultapi.BatchSecret{}, Errors: map[string]vaultapi.BatchError{}}
			if c.code == "" {
				data, err := vaultapi.NewValues([]byte(`{"k":"v"}`))
				if err != nil {
					t.Fatal(err)
				}
				got.Secrets["app/a"] = vaultapi.BatchSecret{Version: 1, Etag: "e", Data: data}
			} else {
				got.Errors["app/a"] = vaultapi.BatchError{Code: c.code}
			}
			err := s.takeFrom(got, &w)
			if reconcile.ReasonOf(err) != c.reason || c.reason == "" && w.outcome != c.want {
				t.Fatalf("outcome %d, error %v", w.outcome, err)
			}
		})
	}
}

// A secret below a prefix takes its keys with it only when it is gone for certain; an expired one only where the
// object says so. A source of which nothing is left is missing.
func TestJudgeBelow(t *testing.T) {
	gone := wanted{src: &below, path: "app/a", held: true, outcome: missing}
	expired := gone
	expired.listed = true
	here := wanted{src: &below, path: "app/b", held: true, listed: true, outcome: found, value: value{path: "app/b", fields: nil}}
	fresh := wanted{src: &below, path: "app/c", listed: true, outcome: missing} // expired before it was ever held
	cases := []struct {
		name   string
		e      evidence
		delete bool
		wanted []wanted
		reason string
		says   string
		left   string
	}{
		{"gone, first look", evidence{}, false, []wanted{gone, here}, "SecretMissing", "if a second look agrees", ""},
		{"gone, second look", evidence{certain: true}, false, []wanted{gone, here}, "", "", "app/b"},
		{"gone by an event while we read", evidence{deleted: []string{"app/a"}}, false, []wanted{gone, here}, "", "", "app/b"},
		{"expired", evidence{certain: true}, false, []wanted{expired, here}, "SecretMissing", "the secret at app/a has expired", ""},
		{"expired, may go, first look", evidence{}, true, []wanted{expired, here}, "SecretMissing", "second look", ""},
		{"expired, may go", evidence{certain: true}, true, []wanted{expired, here}, "", "", "app/b"},
		{"expired before it was held", evidence{}, false, []wanted{fresh, here}, "", "", "app/b"},
		{"all gone", evidence{certain: true}, false, []wanted{gone}, "SecretMissing", "no secret below app/; Secret it is left as it is", ""},
		{"never anything", evidence{}, false, nil, "SecretMissing", "no secret below app/", ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := newRun(c.e, below)
			s.obj.Name, s.wanted = "it", c.wanted
			if c.delete {
				s.obj.Spec.WhenSourceMissing = v1alpha1.DeleteWhenMissing
			}
			err := s.judgeMissing(t.Context())
			if reconcile.ReasonOf(err) != c.reason || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Fatalf("got %v, want %s that says %q", err, c.reason, c.says)
			}
			if c.reason != "" {
				return
			}
			var left []string
			for _, y := range s.state() {
				left = append(left, y.Path)
			}
			if got := strings.Join(left, " "); got != c.left {
				t.Errorf("left %q, want %q", got, c.left)
			}
		})
	}
}

// At start an object is compared by etags; any difference, or anything unknown, means that it is run.
func TestSynced(t *testing.T) {
	three := int64(3)
	sources := []v1alpha1.Source{{Name: "a", Path: "app/a"}, {Name: "b", Path: "app/b", Version: &three}, {Name: "all", PathPrefix: "web/"}}
	holds := []v1alpha1.SyncedSource{
		{Source: "a", Path: "app/a", ETag: "e1"}, {Source: "b", Path: "app/b", ETag: "old"},
		{Source: "all", Path: "web/x", ETag: "ex"}, {Source: "all", Path: "web/y", ETag: "ey"},
	}
	now := func(change func(stock)) stock {
		has := stock{etags: map[string]string{"app/a": "e1", "app/b": "new", "web/x": "ex", "web/y": "ey"}, below: map[string][]string{"web/": {"web/x", "web/y"}}}
		change(has)
		return has
	}
	cases := map[string]struct {
		has  stock
		want bool
	}{
		"the same":                  {now(func(stock) {}), true},
		"another version":           {now(func(k stock) { k.etags["app/a"] = "e2" }), false},
		"missing":                   {now(func(k stock) { delete(k.etags, "app/a") }), false},
		"another below the prefix":  {now(func(k stock) { k.etags["web/y"] = "ey2" }), false},
		"one more below the prefix": {now(func(k stock) { k.below["web/"] = []string{"web/w", "web/x", "web/y"} }), false},
		"one less below the prefix": {now(func(k stock) { k.below["web/"] = []string{"web/x"} }), false},
		"prefix not known":          {now(func(k stock) { delete(k.below, "web/") }), false},
		"nothing known":             {stock{}, false},
	}
	for name, c := range cases {
		s := newRun(evidence{}, sources...)
		s.remember(holds)
		if got := synced(&s.obj, c.has); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
	s := newRun(evidence{}, sources...)
	s.remember(holds)
	s.obj.Spec.Sources = slices.Clone(sources)
	s.obj.Spec.Sources[0].Path = "app/c"
	if synced(&s.obj, now(func(k stock) { k.etags["app/c"] = "e1" })) {
		t.Error("another path counts as the same")
	}
}

// vaultStock answers batch metadata as the vault does: a call whose globs cover more than limit secrets gives errors.
type vaultStock struct {
	paths []string
	limit int
	calls int
}

func (v *vaultStock) BatchMetadata(_ context.Context, b vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error) {
	v.calls++
	got := &vaultapi.BatchMetadataResponse{Secrets: map[string]vaultapi.SecretInfo{}, Errors: map[string]vaultapi.BatchError{}}
	expired := vaultapi.At(time.Unix(1, 0))
	for _, glob := range b.Paths {
		covered := 0
		for _, p := range v.paths {
			prefix, isGlob := strings.CutSuffix(glob, "**")
			if p != glob && (!isGlob || !b.ExpandWildcards || !strings.HasPrefix(p, prefix)) {
				continue
			}
			covered++
			info := vaultapi.SecretInfo{Path: p, Etag: "e-" + p}
			if strings.HasSuffix(p, "/expired") {
				info.ExpiresAt = &expired
			}
			got.Secrets[p] = info
		}
		if len(got.Secrets) > v.limit {
			got.Errors[glob] = vaultapi.BatchError{Code: "invalid_request"}
		}
	}
	return got, nil
}

// Prefixes share calls; one that does not fit is asked for alone, and one that never fits is not known.
func TestTakeStock(t *testing.T) {
	v := &vaultStock{limit: 4, paths: []string{"a/1", "a/2", "b/1", "b/expired", "c/1", "c/2", "c/3", "c/4", "c/5", "path"}}
	s := &Sink{Vault: v, Now: time.Now}
	var objs []v1alpha1.VaultSecret
	for _, p := range []v1alpha1.PathPrefix{"a/", "b/", "c/"} {
		o := newRun(evidence{}, v1alpha1.Source{Name: "all", PathPrefix: p}, v1alpha1.Source{Name: "one", Path: "path"}).obj
		o.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue}}
		o.Status.Target, o.Status.SyncedDigest = &v1alpha1.TargetStatus{}, "x"
		objs = append(objs, o)
	}
	got, err := s.takeStock(t.Context(), objs)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{"a/": {"a/1", "a/2"}, "b/": {"b/1"}}
	if diff := cmp.Diff(want, got.below); diff != "" {
		t.Error(diff)
	}
	if got.etags["path"] != "e-path" || got.etags["b/expired"] != "" {
		t.Errorf("etags %v", got.etags)
	}
}

func TestPlaces(t *testing.T) {
	if diff := cmp.Diff([]string{"a/b/c", "a/", "a/b/"}, places("a/b/c")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"a"}, places("a")); diff != "" {
		t.Error(diff)
	}
}
