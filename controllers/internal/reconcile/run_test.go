package reconcile

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

type recorded struct{ events []string }

func (r *recorded) Eventf(_, _ runtime.Object, eventtype, reason, _, note string, args ...any) { //nolint:revive // client-go's signature
	r.events = append(r.events, eventtype+" "+reason+" "+fmt.Sprintf(note, args...))
}

type bench struct {
	*Runner
	events  *recorded
	now     time.Time
	patches int
}

func newBench(t *testing.T, objs ...client.Object) *bench {
	t.Helper()
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	b := &bench{events: &recorded{}, now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}
	c := fake.NewClientBuilder().WithScheme(scheme).WithObjects(objs...).WithStatusSubresource(objs...).
		WithInterceptorFuncs(interceptor.Funcs{SubResourcePatch: func(ctx context.Context, c client.Client, sub string, obj client.Object, p client.Patch, opts ...client.SubResourcePatchOption) error {
			b.patches++
			return c.SubResource(sub).Patch(ctx, obj, p, opts...)
		}}).Build()
	b.Runner = &Runner{Client: c, Events: b.events, Now: func() time.Time { return b.now },
		Success: prometheus.NewGauge(prometheus.GaugeOpts{Name: "x"})}
	return b
}

func (b *bench) run(t *testing.T, plan Plan) (*v1alpha1.VaultSecret, ctrl.Result, error) {
	t.Helper()
	obj := &v1alpha1.VaultSecret{}
	plan.Done = func() (string, string) { return v1alpha1.ReasonSynced, "written" }
	plan.Refresh = func() time.Duration { return time.Hour }
	res, err := b.Run(t.Context(), ctrl.Request{NamespacedName: types.NamespacedName{Namespace: "ns", Name: "x"}}, obj, plan)
	stored := &v1alpha1.VaultSecret{}
	if getErr := b.Client.Get(t.Context(), client.ObjectKey{Namespace: "ns", Name: "x"}, stored); client.IgnoreNotFound(getErr) != nil {
		t.Fatal(getErr)
	}
	return stored, res, err
}

func sample() *v1alpha1.VaultSecret {
	return &v1alpha1.VaultSecret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "x", Generation: 3}}
}

func ends(err error) []Step { return []Step{func(context.Context) error { return err }} }

func show(v *v1alpha1.VaultSecret) string {
	var out []string
	for _, kind := range []string{"Ready", "Reconciling", "Stalled"} {
		if c := meta.FindStatusCondition(v.Status.Conditions, kind); c != nil {
			out = append(out, fmt.Sprintf("%s=%s/%s", kind, c.Status, c.Reason))
		}
	}
	return strings.Join(out, " ")
}

// What an error of a step means for conditions, the next run and events.
func TestOutcomes(t *testing.T) {
	boom := errors.New("boom")
	cases := []struct {
		name       string
		readyFirst bool
		err        error
		conditions string
		event      string
		retried    bool
		after      time.Duration
	}{
		{"success", false, nil, "Ready=True/Synced", "", false, time.Hour},
		{"stalled", false, Stalled("AccessDenied", boom), "Ready=False/AccessDenied Stalled=True/AccessDenied", "Warning AccessDenied boom", false, time.Hour},
		{"stalled after ready", true, Stalled("AccessDenied", boom), "Ready=False/AccessDenied Stalled=True/AccessDenied", "Warning AccessDenied boom", false, time.Hour},
		{"waiting", false, Waiting("SecretMissing", time.Minute, boom), "Ready=False/SecretMissing Reconciling=True/SecretMissing", "Warning SecretMissing boom", false, time.Minute},
		{"wrapped", false, fmt.Errorf("step: %w", Waiting("SecretMissing", time.Minute, boom)), "Ready=False/SecretMissing Reconciling=True/SecretMissing", "Warning SecretMissing step: boom", false, time.Minute},
		{"waiting longer than the refresh", false, Waiting("SecretMissing", 2*time.Hour, boom), "Ready=False/SecretMissing Reconciling=True/SecretMissing", "Warning SecretMissing boom", false, time.Hour},
		{"other", false, boom, "Ready=False/Retrying Reconciling=True/Retrying", "Warning Retrying boom", true, 0},
		{"other keeps Ready of this generation", true, Retrying("VaultUnavailable", boom), "Ready=True/Synced Reconciling=True/VaultUnavailable", "Warning VaultUnavailable boom", true, 0},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			b := newBench(t, sample())
			if c.readyFirst {
				b.run(t, Plan{})
				b.events.events = nil
			}
			got, res, err := b.run(t, Plan{Steps: ends(c.err)})
			if s := show(got); s != c.conditions {
				t.Errorf("conditions %s, want %s", s, c.conditions)
			}
			if got.Status.ObservedGeneration != 3 {
				t.Errorf("observedGeneration %d", got.Status.ObservedGeneration)
			}
			if got := strings.Join(b.events.events, ";"); got != c.event {
				t.Errorf("events %q, want %q", b.events.events, c.event)
			}
			if (err != nil) != c.retried {
				t.Errorf("retry %v", err)
			}
			if res.RequeueAfter < c.after || res.RequeueAfter > c.after+c.after/10 {
				t.Errorf("again after %s, want %s", res.RequeueAfter, c.after)
			}
		})
	}
}

// An API server that cannot be reached is tried again soon, however long it has been away, and by no back-off.
func TestAPIServerAway(t *testing.T) {
	refused := &url.Error{Op: "Get", URL: "https://x", Err: errors.New("connection refused")}
	for name, c := range map[string]struct {
		err  error
		soon bool
	}{
		"away":           {fmt.Errorf("read which vault is pinned: %w", refused), true},
		"vault away":     {Retrying(v1alpha1.ReasonVaultUnavailable, refused), false},
		"it answers 500": {apierrors.NewInternalError(errors.New("x")), false},
		"something else": {errors.New("x"), false},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, sample())
			_, res, err := b.run(t, Plan{Steps: []Step{func(context.Context) error { return c.err }}})
			if soon := err == nil && res.RequeueAfter >= absentRetry && res.RequeueAfter <= 2*absentRetry; soon != c.soon {
				t.Errorf("%+v, %v", res, err)
			}
		})
	}
}

// A refresh that finds nothing new writes nothing and says nothing.
func TestNoPatchAndNoEventWithoutChange(t *testing.T) {
	b := newBench(t, sample())
	for range 3 {
		b.run(t, Plan{})
		b.now = b.now.Add(time.Hour)
	}
	if b.patches != 1 || len(b.events.events) != 0 {
		t.Fatalf("%d patches, events %q", b.patches, b.events.events)
	}
	b.run(t, Plan{Steps: ends(errors.New("boom"))})
	b.run(t, Plan{})
	b.run(t, Plan{Steps: ends(Stalled("AccessDenied", errors.New("no")))})
	b.run(t, Plan{})
	if want := "Warning Retrying boom;Warning AccessDenied no;Normal Synced written"; strings.Join(b.events.events, ";") != want {
		t.Fatalf("events %q, want %s", b.events.events, want)
	}
}

func TestSuspendedDoesNothing(t *testing.T) {
	b := newBench(t, sample())
	got, res, err := b.run(t, Plan{Suspended: func() bool { return true }, Steps: ends(errors.New("ran"))})
	if err != nil || res.RequeueAfter != 0 || len(got.Status.Conditions) != 0 || b.patches != 0 {
		t.Fatalf("%v %v %v", res, err, got.Status)
	}
}

func TestRequestIsEchoed(t *testing.T) {
	obj := sample()
	obj.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: "now"}
	b := newBench(t, obj)
	if got, _, _ := b.run(t, Plan{Steps: ends(errors.New("boom"))}); got.Status.LastHandledRequest != "" {
		t.Fatal("a run that failed handled the request")
	}
	if got, _, _ := b.run(t, Plan{}); got.Status.LastHandledRequest != "now" {
		t.Fatalf("echoed %q", got.Status.LastHandledRequest)
	}
}

// What takes several runs is echoed when it is done; a request that is longer than the echo is not new for ever.
func TestPendingRequestIsNotEchoed(t *testing.T) {
	obj := sample()
	obj.Annotations = map[string]string{v1alpha1.AnnotationRequestedAt: strings.Repeat("now", 100)}
	b := newBench(t, obj)
	pending := true
	plan := Plan{Pending: func() bool { return pending }}
	if got, _, _ := b.run(t, plan); got.Status.LastHandledRequest != "" || !Requested(got) {
		t.Fatalf("echoed %q while it is going on", got.Status.LastHandledRequest)
	}
	pending = false
	if got, _, _ := b.run(t, plan); got.Status.LastHandledRequest == "" || Requested(got) {
		t.Fatalf("echoed %q, still asked for %t", got.Status.LastHandledRequest, Requested(got))
	}
}

// What an object has elsewhere is given up when it is being deleted, whoever keeps it, and when it is gone: again until
// that succeeds, and without end only where it can succeed. Nothing is put on the object for that.
func TestRelease(t *testing.T) {
	kept := sample()
	kept.Finalizers = []string{"example.com/somebody"}
	b := newBench(t, kept)
	var fails error
	released := 0
	plan := Plan{Release: func(context.Context) error { released++; return fails }, Steps: ends(nil)}
	got, _, err := b.run(t, plan)
	if err != nil || released != 0 || len(got.Finalizers) != 1 {
		t.Fatalf("released %d times, %v, finalizers %v", released, err, got.Finalizers)
	}
	if err := b.Client.Delete(t.Context(), got); err != nil {
		t.Fatal(err)
	}
	expect := func(what string, err error, soon bool, fails bool) {
		t.Helper()
		before := released
		_, res, got := b.run(t, Plan{Release: func(context.Context) error { released++; return err }, Steps: []Step{func(context.Context) error { t.Error("worked on"); return nil }}})
		if (got != nil) != fails || (res.RequeueAfter != 0) != soon || released != before+1 {
			t.Errorf("%s: %+v, %v", what, res, got)
		}
	}
	boom := errors.New("boom")
	for range 2 { // once while it is kept, once when it is gone
		expect("it is given up", nil, false, false)
		expect("vault away", Retrying(v1alpha1.ReasonVaultUnavailable, boom), false, true)
		expect("a newer state was met", Again(boom), true, false)
		expect("another vault", Stalled(v1alpha1.ReasonVaultReplaced, boom), false, false)
		stored := &v1alpha1.VaultSecret{}
		if err := b.Client.Get(t.Context(), client.ObjectKeyFromObject(kept), stored); err == nil {
			stored.Finalizers = nil
			if err := b.Client.Update(t.Context(), stored); err != nil {
				t.Fatal(err)
			}
		}
	}
	if b.patches != 1 {
		t.Errorf("%d patches of the status, want that of the first run", b.patches)
	}
}

// Mistake 50, 63: an object without status, gone in the middle: no panic, no error.
func TestMistake63ObjectGone(t *testing.T) {
	b := newBench(t, sample())
	b.run(t, Plan{Steps: []Step{func(ctx context.Context) error { return b.Client.Delete(ctx, sample()) }}})
	if _, res, err := b.run(t, Plan{}); err != nil || res.RequeueAfter != 0 {
		t.Fatalf("%v %v", res, err)
	}
}

// Mistake 59: the metric of the last success moves with each success and stands still without.
func TestMistake59SuccessIsMeasured(t *testing.T) {
	reg := prometheus.NewRegistry()
	vec, err := SuccessGauge(reg)
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, sample())
	b.Success = vec.WithLabelValues("VaultSecret")
	b.run(t, Plan{})
	at := b.now
	b.now = b.now.Add(time.Hour)
	b.run(t, Plan{Steps: ends(errors.New("boom"))})
	got, err := reg.Gather()
	if err != nil || len(got) != 1 || got[0].Metric[0].Gauge.GetValue() != float64(at.Unix()) {
		t.Fatalf("%v %v", got, err)
	}
}

// A moment that a plan names comes before the refresh, on the dot, whatever the run concluded; one that has passed
// means now.
func TestUntil(t *testing.T) {
	for name, tc := range map[string]struct {
		in     time.Duration // 0: no moment
		err    error
		lo, hi time.Duration
	}{
		"none":                  {0, nil, time.Hour, 66 * time.Minute},
		"sooner":                {time.Minute, nil, time.Minute, time.Minute},
		"later":                 {24 * time.Hour, nil, time.Hour, 66 * time.Minute},
		"passed":                {-time.Hour, nil, time.Millisecond, time.Millisecond},
		"sooner, stalled":       {time.Minute, Stalled("x", errors.New("y")), time.Minute, time.Minute},
		"waiting ends earlier":  {time.Hour, Waiting("x", time.Second, errors.New("y")), time.Second, 1100 * time.Millisecond},
		"before waiting's time": {time.Second, Waiting("x", time.Minute, errors.New("y")), time.Second, time.Second},
	} {
		b := newBench(t, sample())
		_, res, err := b.run(t, Plan{Steps: ends(tc.err), Until: func() time.Time {
			if tc.in == 0 {
				return time.Time{}
			}
			return b.now.Add(tc.in)
		}})
		if err != nil || res.RequeueAfter < tc.lo || res.RequeueAfter > tc.hi {
			t.Errorf("%s: again after %s, %v", name, res.RequeueAfter, err)
		}
	}
}

func TestClip(t *testing.T) {
	if got := clipTo(strings.Repeat("é", 10), 10); got != "ééé…" {
		t.Fatalf("%q", got)
	}
}
