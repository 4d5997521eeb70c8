package consumers

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// pageSize bounds what a list holds in memory: pods and workloads of several kilobytes each.
const pageSize = 250

// kindCronJob is found like the others and never restarted: its next Job starts with the new content, and a Job
// that runs is work in the middle.
const kindCronJob = "CronJob"

// Workload is what is to be known of a workload for a restart.
type Workload struct {
	Kind string // Deployment, StatefulSet, DaemonSet or CronJob
	Name string
	UID  types.UID
	// Uses is how its pods use Secrets, by their names.
	Uses map[string]Usage
	// Marks are the annotations of its pod template that Mark names.
	Marks map[string]string

	resourceVersion string
	generation      int64
	unsettled       string // what it lacks to be rolled out and ready
}

// String is the kind and the name.
func (w Workload) String() string { return w.Kind + " " + w.Name }

// APIVersion is that of the kind.
func (w Workload) APIVersion() string {
	if w.Kind == kindCronJob {
		return batchv1.SchemeGroupVersion.String()
	}
	return appsv1.SchemeGroupVersion.String()
}

// Restartable tells whether its pods can be replaced: those of a CronJob come and go by themselves.
func (w Workload) Restartable() bool { return w.Kind != kindCronJob }

// workloads lists those of a namespace.
func workloads(ctx context.Context, live client.Reader, namespace string) ([]Workload, error) {
	var all []Workload
	for _, kind := range []client.ObjectList{&appsv1.DeploymentList{}, &appsv1.StatefulSetList{}, &appsv1.DaemonSetList{}, &batchv1.CronJobList{}} {
		err := pages(ctx, live, kind, func(o runtime.Object) { all = append(all, workload(o)) }, client.InNamespace(namespace))
		if err != nil {
			return nil, fmt.Errorf("list the workloads of namespace %s: %w", namespace, err)
		}
	}
	return all, nil
}

func workload(o runtime.Object) Workload {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return describe("Deployment", &o.ObjectMeta, &o.Spec.Template, deploymentUnsettled(o))
	case *appsv1.StatefulSet:
		return describe("StatefulSet", &o.ObjectMeta, &o.Spec.Template, statefulSetUnsettled(o))
	case *appsv1.DaemonSet:
		return describe("DaemonSet", &o.ObjectMeta, &o.Spec.Template, daemonSetUnsettled(o))
	case *batchv1.CronJob:
		return describe(kindCronJob, &o.ObjectMeta, &o.Spec.JobTemplate.Spec.Template, "")
	}
	return Workload{}
}

func describe(kind string, m *metav1.ObjectMeta, t *corev1.PodTemplateSpec, unsettled string) Workload {
	return Workload{
		Kind: kind, Name: m.Name, UID: m.UID, Uses: Uses(&t.Spec), Marks: marks(t.Annotations),
		resourceVersion: m.ResourceVersion, generation: m.Generation, unsettled: unsettled,
	}
}

// pages reads a list of a kind page by page and hands over its items, of which nothing may be kept.
func pages(ctx context.Context, live client.Reader, kind client.ObjectList, each func(runtime.Object), opts ...client.ListOption) error {
	for next := ""; ; {
		page := kind.DeepCopyObject().(client.ObjectList)
		if err := live.List(ctx, page, append(opts, client.Limit(pageSize), client.Continue(next))...); err != nil {
			return err
		}
		err := meta.EachListItem(page, func(o runtime.Object) error {
			each(o)
			return nil
		})
		if next = page.GetContinue(); err != nil || next == "" {
			return err
		}
	}
}
