package vaultsecret

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
)

// The checksum changes with everything that changes content, and with nothing else: above all not with a value.
func TestChecksum(t *testing.T) {
	spec := func(change ...func(*v1alpha1.VaultSecretSpec)) *v1alpha1.VaultSecretSpec {
		s := &v1alpha1.VaultSecretSpec{Sources: sourcesOf("db", "two"), Data: []v1alpha1.DataEntry{from("K", "db", "url"), {Key: "t", Template: "a"}},
			DataFrom: []v1alpha1.DataFrom{{Source: "two"}}}
		for _, c := range change {
			c(s)
		}
		return s
	}
	held := func(db, two string) []v1alpha1.SyncedSource {
		all := []v1alpha1.SyncedSource{{Source: "db", Path: "app/db", Version: 1, ETag: db}}
		if two != "" {
			all = append(all, v1alpha1.SyncedSource{Source: "two", Path: "app/two", Version: 7, ETag: two})
		}
		return all
	}
	sum := func(s *v1alpha1.VaultSecretSpec, secrets []v1alpha1.SyncedSource) string {
		t.Helper()
		got, err := checksum(s, secrets)
		if err != nil || len(got) != 64 {
			t.Fatalf("%q %v", got, err)
		}
		return got
	}
	first := sum(spec(), held("e1", "e2"))
	for name, same := range map[string]string{
		"what is no content":      sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.RefreshInterval, s.Suspend = "1m", true }), held("e1", "e2")),
		"metadata of the target":  sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.Target = &v1alpha1.SecretTarget{Name: "x"} }), held("e1", "e2")),
		"the restart itself":      sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.Restart = &v1alpha1.Restart{Mode: "None"} }), held("e1", "e2")),
		"another ServiceAccount":  sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.ServiceAccountName = "x" }), held("e1", "e2")),
		"what becomes of deleted": sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = "Retain" }), held("e1", "e2")),
	} {
		if same != first {
			t.Errorf("%s changed the checksum", name)
		}
	}
	seen := map[string]string{first: "the first"}
	for name, other := range map[string]string{
		"one etag":         sum(spec(), held("e3", "e2")),
		"the other etag":   sum(spec(), held("e1", "e3")),
		"etags exchanged":  sum(spec(), held("e2", "e1")),
		"a secret more":    sum(spec(), append(held("e1", "e2"), v1alpha1.SyncedSource{Source: "two", Path: "app/three", ETag: "e2"})),
		"a source missing": sum(spec(), held("e1", "")),
		"a template":       sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.Data[1].Template = "b" }), held("e1", "e2")),
		"a key":            sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.Data[0].Key = "L" }), held("e1", "e2")),
		"a field":          sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.Data[0].From.Field = "host" }), held("e1", "e2")),
		"a decoding":       sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.Data[0].From.Decode = "Base64" }), held("e1", "e2")),
		"a filter":         sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.DataFrom[0].Exclude = []string{"x"} }), held("e1", "e2")),
		"a name of a key":  sum(spec(func(s *v1alpha1.VaultSecretSpec) { s.DataFrom[0].KeyFormat = "x{field}" }), held("e1", "e2")),
	} {
		if twin := seen[other]; twin != "" {
			t.Errorf("%s has the checksum of %s", name, twin)
		}
		seen[other] = name
	}
}

// When content that was applied leads to a restart.
func TestTold(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)
	then := metav1.NewMicroTime(now.Add(-4 * time.Second))
	since := metav1.NewMicroTime(now)
	listed := []v1alpha1.WorkloadReference{{Kind: "Deployment", Name: "x"}}
	for _, c := range []struct {
		name   string
		before *v1alpha1.RestartStatus
		wrote  bool
		want   v1alpha1.RestartStatus
	}{
		{"first content", nil, true, v1alpha1.RestartStatus{Checksum: "b"}},
		{"restarts asked for later", nil, false, v1alpha1.RestartStatus{Checksum: "b"}},
		{"nothing new", &v1alpha1.RestartStatus{Checksum: "b"}, false, v1alpha1.RestartStatus{Checksum: "b"}},
		{"a hand edit repaired", &v1alpha1.RestartStatus{Checksum: "b"}, true, v1alpha1.RestartStatus{Checksum: "b"}},
		{"nothing new while one is owed", &v1alpha1.RestartStatus{Checksum: "b", Since: &then}, true, v1alpha1.RestartStatus{Checksum: "b", Since: &then}},
		{"a version that changed no key", &v1alpha1.RestartStatus{Checksum: "a"}, false, v1alpha1.RestartStatus{Checksum: "b"}},
		{"the same while one is owed", &v1alpha1.RestartStatus{Checksum: "a", Since: &then}, false, v1alpha1.RestartStatus{Checksum: "b", Since: &then}},
		{"new content", &v1alpha1.RestartStatus{Checksum: "a", Missing: listed}, true, v1alpha1.RestartStatus{Checksum: "b", Since: &since, Missing: listed}},
		{"newer content while one is owed", &v1alpha1.RestartStatus{Checksum: "a", Since: &then}, true, v1alpha1.RestartStatus{Checksum: "b", Since: &then}},
	} {
		before := c.before.DeepCopy()
		if diff := cmp.Diff(c.want, *told(c.before, "b", c.wrote, now)); diff != "" {
			t.Errorf("%s (-want +got)\n%s", c.name, diff)
		}
		if diff := cmp.Diff(before, c.before); diff != "" {
			t.Errorf("%s: what was before is changed\n%s", c.name, diff)
		}
	}
}

// When an object is looked at again.
func TestNext(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	ago := func(d time.Duration) *metav1.MicroTime { return &metav1.MicroTime{Time: now.Add(-d)} }
	consumersMode := &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers}
	for _, c := range []struct {
		name     string
		interval v1alpha1.Duration
		restart  *v1alpha1.Restart
		status   *v1alpha1.RestartStatus
		want     time.Duration
	}{
		{"no restart", "2h", nil, nil, 2 * time.Hour},
		{"none owed", "2h", consumersMode, &v1alpha1.RestartStatus{Checksum: "a"}, 2 * time.Hour},
		{"owed", "2h", consumersMode, &v1alpha1.RestartStatus{Since: ago(3 * time.Second)}, 7 * time.Second},
		{"owed with a debounce of its own", "2h", &v1alpha1.Restart{Mode: "Consumers", Debounce: "1m"}, &v1alpha1.RestartStatus{Since: ago(0)}, time.Minute},
		{"owed after the refresh", "30s", &v1alpha1.Restart{Mode: "Consumers", Debounce: "1m"}, &v1alpha1.RestartStatus{Since: ago(0)}, 30 * time.Second},
		{"overdue", "2h", consumersMode, &v1alpha1.RestartStatus{Since: ago(time.Hour)}, restartRetry},
		{"owed before it was switched off", "2h", &v1alpha1.Restart{Mode: "None"}, &v1alpha1.RestartStatus{Since: ago(0)}, 2 * time.Hour},
		{"a debounce that does not parse", "2h", &v1alpha1.Restart{Mode: "Consumers", Debounce: "x"}, &v1alpha1.RestartStatus{Since: ago(0)}, defaultDebounce},
		{"missing workload", "2h", consumersMode, &v1alpha1.RestartStatus{Missing: []v1alpha1.WorkloadReference{{}}}, surveyEvery},
	} {
		obj := &v1alpha1.VaultSecret{Spec: v1alpha1.VaultSecretSpec{RefreshInterval: c.interval, Restart: c.restart}, Status: v1alpha1.VaultSecretStatus{Restart: c.status}}
		if got := next(obj, now); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// Which workloads are restarted, for each way to use the Secret, each mode and each way to refresh.
func TestConcerns(t *testing.T) {
	with := func(how consumers.Usage) consumers.Workload {
		return consumers.Workload{Kind: "Deployment", Name: "w", UID: types.UID("u"), Uses: map[string]consumers.Usage{"s": how, "other": consumers.Env}}
	}
	ways := []consumers.Usage{0, consumers.Env, consumers.File, consumers.Fixed, consumers.Env | consumers.File, consumers.File | consumers.Fixed}
	listed := func(kind v1alpha1.WorkloadKind, name string) *v1alpha1.Restart {
		return &v1alpha1.Restart{Mode: v1alpha1.RestartListed, Workloads: []v1alpha1.WorkloadReference{{Kind: "DaemonSet", Name: "x"}, {Kind: kind, Name: name}}}
	}
	all, none := []bool{true, true, true, true, true, true}, make([]bool, len(ways))
	users := []bool{false, true, true, true, true, true}
	for _, c := range []struct {
		name      string
		restart   *v1alpha1.Restart
		refresh   v1alpha1.RefreshChoice
		immutable bool
		want      []bool
	}{
		{"consumers", &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers}, "", false, users},
		{"consumers, files by the kubelet", &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers}, v1alpha1.RefreshByKubelet, false, users},
		{"consumers, files at once", &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers}, v1alpha1.RefreshImmediately, false, []bool{false, true, false, true, true, true}},
		{"consumers, files that never change", &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers}, v1alpha1.RefreshImmediately, true, users},
		{"listed", listed("Deployment", "w"), "", false, all},
		{"listed, files at once", listed("Deployment", "w"), v1alpha1.RefreshImmediately, false, all},
		{"another is listed", listed("Deployment", "v"), "", false, none},
		{"another kind is listed", listed("StatefulSet", "w"), "", false, none},
	} {
		obj := &v1alpha1.VaultSecret{Spec: v1alpha1.VaultSecretSpec{Restart: c.restart, RefreshPods: c.refresh, Target: &v1alpha1.SecretTarget{Name: "s", Immutable: c.immutable}}}
		var got []bool
		for _, how := range ways {
			got = append(got, concerns(obj, with(how)))
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
