package vaultsecret

import (
	"context"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Whoever reads a secret is found, by itself or by a prefix, each once.
func TestReadersOf(t *testing.T) {
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	reads := func(name string, sources ...v1alpha1.Source) client.Object {
		return &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, UID: types.UID(name)}, Spec: v1alpha1.VaultSecretSpec{Sources: sources}}
	}
	objs := []client.Object{
		reads("path", v1alpha1.Source{Name: "a", Path: "a/b/c"}),
		reads("prefix", v1alpha1.Source{Name: "a", PathPrefix: "a/"}),
		reads("both", v1alpha1.Source{Name: "a", Path: "a/b/c"}, v1alpha1.Source{Name: "b", PathPrefix: "a/b/"}),
		reads("other", v1alpha1.Source{Name: "a", Path: "a/b"}, v1alpha1.Source{Name: "b", PathPrefix: "a/b/c/"}),
	}
	r := &Readers{Cached: fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithIndex(&v1alpha1.VaultSecret{}, indexPath, byPath).Build()}
	got, err := r.Of(t.Context(), "a/b/c")
	if err != nil {
		t.Fatal(err)
	}
	var found []string
	for _, o := range got {
		found = append(found, o.Name)
	}
	if s := strings.Join(found, " "); s != "both path prefix" {
		t.Errorf("found %s", s)
	}
}

// etagsOf is a vault that gives etags.
type etagsOf map[string]string

func (v etagsOf) BatchMetadata(_ context.Context, b vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error) {
	out := &vaultapi.BatchMetadataResponse{Secrets: map[string]vaultapi.SecretInfo{}}
	for path, etag := range v {
		for _, p := range b.Paths {
			if p == path || strings.HasPrefix(path, strings.TrimSuffix(p, "**")) {
				out.Secrets[path] = vaultapi.SecretInfo{Path: path, Etag: etag}
			}
		}
	}
	return out, nil
}

// An object has a version when its status says so of that very version; of a secret for which its status has no room,
// when it has the newest of everything. Where nothing of the secret is in its Secret, nothing is behind.
func TestUptake(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	applied, last := metav1.NewTime(now.Add(-time.Hour)), metav1.NewTime(now.Add(-time.Minute))
	obj := func(change ...func(*v1alpha1.VaultSecret)) *v1alpha1.VaultSecret {
		v := &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "db", Generation: 1}}
		v.Spec.Sources = []v1alpha1.Source{{Name: "db", Path: "a/b"}}
		v.Status.Target = &v1alpha1.TargetStatus{Name: "db"}
		v.Status.Synced = []v1alpha1.SyncedSource{{Source: "db", Path: "a/b", Version: 3, ETag: "e3", AppliedAt: &applied}}
		v.Status.SyncedCount, v.Status.LastSyncTime = 1, &last
		v.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: metav1.ConditionTrue, ObservedGeneration: 1}}
		for _, c := range change {
			c(v)
		}
		return v
	}
	prefix := func(v *v1alpha1.VaultSecret) {
		v.Spec.Sources = []v1alpha1.Source{{Name: "all", PathPrefix: "a/"}}
		v.Status.Synced = []v1alpha1.SyncedSource{{Source: "all", Path: "a/a", Version: 1, ETag: "e1"}}
		v.Status.SyncedCount = 2
		v.Status.SyncedDigest = digest([]v1alpha1.SyncedSource{{Source: "all", Path: "a/a", ETag: "e1"}, {Source: "all", Path: "a/b", ETag: "e4"}})
	}
	for name, c := range map[string]struct {
		obj    *v1alpha1.VaultSecret
		behind string
		want   consumers.Content
	}{
		"the version":          {obj: obj(func(v *v1alpha1.VaultSecret) { v.Status.Synced[0].ETag = "e4" }), want: consumers.Content{Secret: "db", Since: applied.Time}},
		"an older one":         {obj: obj(), behind: "holds version 3"},
		"an older one, pinned": {obj: obj(func(v *v1alpha1.VaultSecret) { v.Spec.Sources[0].Version = new(int64(3)) }), behind: "pins it"},
		"suspended":            {obj: obj(func(v *v1alpha1.VaultSecret) { v.Spec.Suspend = true }), behind: "is suspended"},
		"not well":             {obj: obj(func(v *v1alpha1.VaultSecret) { v.Status.Conditions = nil }), behind: "is not Ready"},
		"no Secret yet":        {obj: obj(func(v *v1alpha1.VaultSecret) { v.Status.Target = nil })},
		"not in its Secret":    {obj: obj(func(v *v1alpha1.VaultSecret) { v.Status.Synced[0].Path = "a/c" })},
		"written by an operator that kept no time": {
			obj:  obj(func(v *v1alpha1.VaultSecret) { v.Status.Synced[0].ETag, v.Status.Synced[0].AppliedAt = "e4", nil }),
			want: consumers.Content{Secret: "db", Since: last.Time}},
		"restarted for it": {
			obj: obj(func(v *v1alpha1.VaultSecret) {
				v.Status.Synced[0].ETag = "e4"
				v.Spec.Restart = &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers}
				v.Status.Restart = &v1alpha1.RestartStatus{Checksum: "sum"}
			}),
			want: consumers.Content{Secret: "db", Since: applied.Time, Mark: consumers.Mark("VaultSecret", "db"), Checksum: "sum"}},
		"one of two sources": {
			obj: obj(func(v *v1alpha1.VaultSecret) {
				v.Status.Synced = append(v.Status.Synced, v1alpha1.SyncedSource{Source: "again", Path: "a/b", Version: 4, ETag: "e4"})
			}), behind: "holds version 3"},
		"no room in the status": {obj: obj(prefix), want: consumers.Content{Secret: "db", Since: last.Time}},
		"no room in the status, and not the newest": {
			obj: obj(prefix, func(v *v1alpha1.VaultSecret) { v.Status.SyncedDigest = "other" }), behind: "newest of everything"},
	} {
		r := &Readers{Vault: etagsOf{"a/a": "e1", "a/b": "e4"}, Now: func() time.Time { return now }}
		got, err := r.Uptake(t.Context(), c.obj, "a/b", "e4")
		if err != nil {
			t.Fatal(err)
		}
		if (c.behind == "") != (got.Behind == "") || !strings.Contains(got.Behind, c.behind) || got.Content != c.want {
			t.Errorf("%s: %+v, want behind %q, %+v", name, got, c.behind, c.want)
		}
	}
}

// The time of a secret moves when the target was written with another version of it, and only then.
func TestApplied(t *testing.T) {
	now := time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)
	before := metav1.NewTime(now.Add(-time.Hour))
	was := []v1alpha1.SyncedSource{{Source: "a", Path: "p", ETag: "1", AppliedAt: &before}, {Source: "b", Path: "p", ETag: "1"}}
	is := func() []v1alpha1.SyncedSource {
		return []v1alpha1.SyncedSource{{Source: "a", Path: "p", ETag: "1"}, {Source: "b", Path: "p", ETag: "2"}, {Source: "c", Path: "p", ETag: "3"}}
	}
	show := func(all []v1alpha1.SyncedSource) string {
		var out []string
		for _, y := range all {
			at := "-"
			if y.AppliedAt != nil {
				at = y.AppliedAt.Sub(now).String()
			}
			out = append(out, y.Source+" "+at)
		}
		return strings.Join(out, ", ")
	}
	if got := show(applied(is(), was, true, now)); got != "a -1h0m0s, b 0s, c 0s" {
		t.Errorf("written: %s", got)
	}
	if got := show(applied(is(), was, false, now)); got != "a -1h0m0s, b -, c -" {
		t.Errorf("not written: %s", got)
	}
}
