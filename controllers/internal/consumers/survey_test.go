package consumers

import (
	"context"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// A workload is rolled out when its controller has seen the template, every pod is of it and available, and none of an
// older one is left.
func TestUnsettled(t *testing.T) {
	three := int32(3)
	deployment := func(st appsv1.DeploymentStatus, paused bool) string {
		return deploymentUnsettled(&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.DeploymentSpec{Replicas: &three, Paused: paused}, Status: st})
	}
	stateful := func(st appsv1.StatefulSetStatus) string {
		return statefulSetUnsettled(&appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: appsv1.StatefulSetSpec{Replicas: &three}, Status: st})
	}
	daemon := func(st appsv1.DaemonSetStatus) string {
		return daemonSetUnsettled(&appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Status: st})
	}
	for name, c := range map[string]struct{ got, want string }{
		"rolled out":                {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}, false), ""},
		"rolled out, then paused":   {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}, true), ""},
		"not seen":                  {deployment(appsv1.DeploymentStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}, false), "has not seen"},
		"half":                      {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 4, UpdatedReplicas: 2, ReadyReplicas: 3, AvailableReplicas: 3}, false), "2 of 3 pods updated"},
		"paused":                    {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}, true), "paused with 0 of 3"},
		"an old one left":           {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 4, UpdatedReplicas: 3, ReadyReplicas: 4, AvailableReplicas: 4}, false), "1 pods of an older template"},
		"not ready":                 {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 1, AvailableReplicas: 1}, false), "1 of 3 pods ready"},
		"not available":             {deployment(appsv1.DeploymentStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 2}, false), "2 of 3 pods available"},
		"StatefulSet":               {stateful(appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}), ""},
		"StatefulSet, a partition":  {stateful(appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 3, UpdatedReplicas: 1, ReadyReplicas: 3, AvailableReplicas: 3}), "1 of 3 pods updated"},
		"StatefulSet, scaling down": {stateful(appsv1.StatefulSetStatus{ObservedGeneration: 2, Replicas: 4, UpdatedReplicas: 4, ReadyReplicas: 4, AvailableReplicas: 4}), "1 pods too many"},
		"StatefulSet, not seen":     {stateful(appsv1.StatefulSetStatus{ObservedGeneration: 1, Replicas: 3, UpdatedReplicas: 3, ReadyReplicas: 3, AvailableReplicas: 3}), "has not seen"},
		"DaemonSet":                 {daemon(appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberReady: 2, NumberAvailable: 2}), ""},
		"DaemonSet, on delete":      {daemon(appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, NumberReady: 2, NumberAvailable: 2}), "0 of 2 pods updated"},
		"DaemonSet, not ready":      {daemon(appsv1.DaemonSetStatus{ObservedGeneration: 2, DesiredNumberScheduled: 2, UpdatedNumberScheduled: 2, NumberReady: 1, NumberAvailable: 1}), "1 of 2 pods ready"},
		"DaemonSet, not seen":       {daemon(appsv1.DaemonSetStatus{ObservedGeneration: 1}), "has not seen"},
	} {
		if (c.want == "") != (c.got == "") || !strings.Contains(c.got, c.want) {
			t.Errorf("%s: %q, want %q", name, c.got, c.want)
		}
	}
}

// A pod runs with the content when it was made after it or for it, or when it has only files and its kubelet has
// refreshed them. What is not certain counts as not.
func TestLacks(t *testing.T) {
	const mark = "scaivault.io/restart.vaultsecret.db"
	before, after := noon.Add(-time.Hour), noon.Add(time.Second)
	restarted := Content{Secret: "db", Since: noon, Mark: mark, Checksum: "new"}
	for name, c := range map[string]struct {
		pod     pod
		content Content
		now     time.Duration // after noon
		want    string
	}{
		"uses another Secret":                {pod: pod{created: before}},
		"made after":                         {pod: pod{created: after, uses: map[string]Usage{"db": Env}}},
		"made in the same second":            {pod: pod{created: noon, uses: map[string]Usage{"db": Env}}, want: "in its environment"},
		"made before":                        {pod: pod{created: before, uses: map[string]Usage{"db": Env}}, want: "in its environment"},
		"made for it":                        {pod: pod{created: noon, marks: map[string]string{mark: "new"}, uses: map[string]Usage{"db": Env}}, content: restarted},
		"made for older content":             {pod: pod{created: before, marks: map[string]string{mark: "old"}, uses: map[string]Usage{"db": Env}}, content: restarted, want: "in its environment"},
		"no mark to go by":                   {pod: pod{created: before, marks: map[string]string{}, uses: map[string]Usage{"db": Env}}, want: "in its environment"},
		"subPath":                            {pod: pod{created: before, ready: true, uses: map[string]Usage{"db": Fixed}}, now: time.Hour, want: "does not change"},
		"immutable":                          {pod: pod{created: before, ready: true, uses: map[string]Usage{"db": File}}, content: Content{Secret: "db", Since: noon, Immutable: true}, now: time.Hour, want: "does not change"},
		"file, too soon":                     {pod: pod{created: before, ready: true, uses: map[string]Usage{"db": File}}, now: time.Minute, want: "until 12:02:00"},
		"file, the kubelet had its time":     {pod: pod{created: before, ready: true, uses: map[string]Usage{"db": File}}, now: 2 * time.Minute},
		"file, not ready":                    {pod: pod{created: before, uses: map[string]Usage{"db": File}}, now: time.Hour, want: "not ready"},
		"file, refreshed":                    {pod: pod{created: before, ready: true, refreshed: after, uses: map[string]Usage{"db": File}}, now: 10 * time.Second},
		"file, refreshed a moment ago":       {pod: pod{created: before, ready: true, refreshed: after, uses: map[string]Usage{"db": File}}, now: 2 * time.Second, want: "until"},
		"file, refreshed before":             {pod: pod{created: before, ready: true, refreshed: before, uses: map[string]Usage{"db": File}}, now: 10 * time.Second, want: "until"},
		"file and environment, had its time": {pod: pod{created: before, ready: true, uses: map[string]Usage{"db": File | Env}}, now: time.Hour, want: "in its environment"},
	} {
		content := c.content
		if content.Secret == "" {
			content = Content{Secret: "db", Since: noon}
		}
		got := c.pod.lacks(content, noon.Add(c.now))
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
}

// What is listed is judged: workloads by their rollout, pods that a kubelet has by what they were started with, and
// those that are over or run nowhere not at all.
func TestLook(t *testing.T) {
	uses := corev1.PodSpec{NodeName: "n1", Containers: []corev1.Container{{Name: "c", EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}}}}}}}
	one := func(name string, change func(*corev1.Pod)) *corev1.Pod {
		p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, CreationTimestamp: metav1.NewTime(noon.Add(-time.Hour))}, Spec: uses}
		change(p)
		return p
	}
	objs := []client.Object{
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web", Generation: 2}, Spec: appsv1.DeploymentSpec{Template: corev1.PodTemplateSpec{Spec: uses}}},
		&appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "other", Generation: 2}},
		one("old", func(*corev1.Pod) {}),
		one("young", func(p *corev1.Pod) { p.CreationTimestamp = metav1.NewTime(noon.Add(time.Minute)) }),
		one("elsewhere", func(p *corev1.Pod) { p.Namespace = "other" }),
	}
	c := fake.NewClientBuilder().WithObjects(objs...).WithIndex(&corev1.Pod{}, "spec.nodeName", func(client.Object) []string { return nil }).Build()
	s, err := Look(t.Context(), loose{c}, "ns", noon.Add(time.Minute))
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Join(s.Behind(Content{Secret: "db", Since: noon}), "\n")
	want := "Deployment web: its controller has not seen the new template\npod old: started before with it in its environment"
	if got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if behind := s.Behind(Content{Secret: "nobody"}); len(behind) > 0 {
		t.Errorf("%v", behind)
	}
}

// loose lists without field selectors, which the fake client does not know; a real API server is asked with them in
// test/operator.
type loose struct{ client.Client }

func (l loose) List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error {
	var kept []client.ListOption
	for _, o := range opts {
		if _, is := o.(client.MatchingFieldsSelector); !is {
			kept = append(kept, o)
		}
	}
	return l.Client.List(ctx, list, kept...)
}

func TestDescribePod(t *testing.T) {
	p := describePod(&corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Annotations: map[string]string{v1alpha1.AnnotationRefreshedAt: "2026-03-04T12:00:01.5Z", Mark("VaultSecret", "db"): "sum", "other": "x"}},
		Status:     corev1.PodStatus{Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
	})
	if !p.ready || !p.refreshed.Equal(noon.Add(1500*time.Millisecond)) || p.marks[Mark("VaultSecret", "db")] != "sum" || len(p.marks) != 1 {
		t.Errorf("%+v", p)
	}
}

func TestShown(t *testing.T) {
	for want, all := range map[string][]string{"": nil, "a": {"a"}, "a; b; c": {"a", "b", "c"}, "a; b; c; 2 more": {"a", "b", "c", "d", "e"}} {
		if got := Shown(all); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
