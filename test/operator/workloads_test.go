package operator_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/test/controlplane"
)

// restarting makes a VaultSecret restart, after a debounce, its consumers or the listed workloads.
func restarting(debounce time.Duration, listed ...v1alpha1.WorkloadReference) func(*v1alpha1.VaultSecretSpec) {
	return func(s *v1alpha1.VaultSecretSpec) {
		s.Restart = &v1alpha1.Restart{Mode: v1alpha1.RestartConsumers, Debounce: v1alpha1.Duration(debounce.String())}
		if len(listed) > 0 {
			s.Restart.Mode, s.Restart.Workloads = v1alpha1.RestartListed, listed
		}
	}
}

// Pods by how they use a Secret.
func byEnv(secret string) corev1.PodSpec {
	return pod(corev1.Container{Env: []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{
		SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: corev1.LocalObjectReference{Name: secret}, Key: "k"}}}}})
}

func byEnvFrom(secret string) corev1.PodSpec {
	return pod(corev1.Container{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}})
}

func byFile(secret string) corev1.PodSpec {
	return pod(corev1.Container{VolumeMounts: []corev1.VolumeMount{{Name: "v", MountPath: "/v"}}},
		corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}})
}

func byProjected(secret string) corev1.PodSpec {
	p := byFile(secret)
	p.Volumes[0].VolumeSource = corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{
		{Secret: &corev1.SecretProjection{LocalObjectReference: corev1.LocalObjectReference{Name: secret}}}}}}
	return p
}

func bySubPath(secret string) corev1.PodSpec {
	p := byFile(secret)
	p.Containers[0].VolumeMounts[0].SubPath = "k"
	return p
}

func byInit(secret string) corev1.PodSpec {
	p := byFile(secret)
	p.InitContainers, p.Containers = p.Containers, pod(corev1.Container{}).Containers
	p.InitContainers[0].Name = "init"
	return p
}

func pod(c corev1.Container, volumes ...corev1.VolumeSource) corev1.PodSpec {
	c.Name, c.Image = "c", "none"
	p := corev1.PodSpec{Containers: []corev1.Container{c}, RestartPolicy: corev1.RestartPolicyAlways}
	for _, v := range volumes {
		p.Volumes = append(p.Volumes, corev1.Volume{Name: "v", VolumeSource: v})
	}
	return p
}

func (w *world) meta(name string) metav1.ObjectMeta {
	return metav1.ObjectMeta{Namespace: w.ns, Name: name}
}

func template(p corev1.PodSpec) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "x"}}, Spec: p}
}

var selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": "x"}}

// deploy makes a Deployment and waits until its controller has seen it.
func (w *world) deploy(name string, p corev1.PodSpec) *appsv1.Deployment {
	w.Helper()
	t := template(p)
	t.Labels["app"] = name
	d := &appsv1.Deployment{ObjectMeta: w.meta(name), Spec: appsv1.DeploymentSpec{
		Selector: &metav1.LabelSelector{MatchLabels: t.Labels}, Template: t}}
	if err := w.kube.Create(w.Context(), d); err != nil {
		w.Fatal(err)
	}
	w.until("ReplicaSets of "+name, "1", func() string { return fmt.Sprint(w.replicaSets(name)) })
	return d
}

func (w *world) statefulSet(name string, p corev1.PodSpec) *appsv1.StatefulSet {
	w.Helper()
	o := &appsv1.StatefulSet{ObjectMeta: w.meta(name), Spec: appsv1.StatefulSetSpec{Selector: selector, Template: template(p), ServiceName: name}}
	if err := w.kube.Create(w.Context(), o); err != nil {
		w.Fatal(err)
	}
	return o
}

func (w *world) daemonSet(name string, p corev1.PodSpec) *appsv1.DaemonSet {
	w.Helper()
	o := &appsv1.DaemonSet{ObjectMeta: w.meta(name), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: template(p)}}
	if err := w.kube.Create(w.Context(), o); err != nil {
		w.Fatal(err)
	}
	return o
}

func (w *world) cronJob(name string, p corev1.PodSpec) *batchv1.CronJob {
	w.Helper()
	p.RestartPolicy = corev1.RestartPolicyNever
	o := &batchv1.CronJob{ObjectMeta: w.meta(name), Spec: batchv1.CronJobSpec{Schedule: "0 0 1 1 *",
		JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: template(p)}}}}
	if err := w.kube.Create(w.Context(), o); err != nil {
		w.Fatal(err)
	}
	return o
}

// replicaSets counts those that a Deployment has had: one for each pod template.
func (w *world) replicaSets(deployment string) (n int) {
	w.Helper()
	var l appsv1.ReplicaSetList
	if err := w.kube.List(w.Context(), &l, kube.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	for i := range l.Items {
		if ref := metav1.GetControllerOf(&l.Items[i]); ref != nil && ref.Kind == "Deployment" && ref.Name == deployment {
			n++
		}
	}
	return n
}

// generations is "name=generation …" of workloads, in order: the API server counts every change of a spec.
func (w *world) generations(objs ...kube.Object) string {
	w.Helper()
	var out []string
	for _, o := range objs {
		o = o.DeepCopyObject().(kube.Object)
		if err := w.kube.Get(w.Context(), kube.ObjectKeyFromObject(o), o); err != nil {
			w.Fatal(err)
		}
		out = append(out, fmt.Sprintf("%s=%d", o.GetName(), o.GetGeneration()))
	}
	slices.Sort(out)
	return strings.Join(out, " ")
}

// are waits until each of the workloads has a generation, and no restart is owed to anybody.
func (w *world) are(generation int, objs ...kube.Object) {
	w.Helper()
	var want []string
	for _, o := range objs {
		want = append(want, fmt.Sprintf("%s=%d", o.GetName(), generation))
	}
	slices.Sort(want)
	w.until("generations", strings.Join(want, " "), func() string { return w.generations(objs...) })
	w.restOwed("")
}

// restOwed waits until exactly these VaultSecrets of the namespace owe a restart.
func (w *world) restOwed(want string) {
	w.Helper()
	w.until("owed restarts", want, func() string {
		var l v1alpha1.VaultSecretList
		if err := w.kube.List(w.Context(), &l, kube.InNamespace(w.ns)); err != nil {
			return err.Error()
		}
		var owed []string
		for _, v := range l.Items {
			if v.Status.Restart != nil && v.Status.Restart.Since != nil {
				owed = append(owed, v.Name)
			}
		}
		return strings.Join(owed, " ")
	})
}

// events are the notes of the events about an object with a reason.
func (w *world) events(kind, name, reason string) string {
	w.Helper()
	l, err := w.core.EventsV1().Events(w.ns).List(w.Context(), metav1.ListOptions{})
	if err != nil {
		w.Fatal(err)
	}
	var out []string
	for _, e := range l.Items {
		if e.Regarding.Kind == kind && e.Regarding.Name == name && e.Reason == reason {
			out = append(out, e.Note)
		}
	}
	return strings.Join(out, "\n")
}

// allowRefresh gives the operator what config/refresh-pods gives it, until the test ends.
func (w *world) allowRefresh() {
	w.Helper()
	file := filepath.Join(controlplane.Root(), "config/refresh-pods/rbac.yaml")
	w.kubectl("apply", "-f", file)
	w.Cleanup(func() {
		if out, err := w.plane.Kubectl(context.WithoutCancel(w.Context()), "delete", "-f", file); err != nil {
			w.Error(err, out)
		}
	})
	w.operator.Args = append(w.operator.Args, "--refresh-pods")
}

// apply applies manifests as cluster-admin.
func (w *world) apply(text string) {
	w.Helper()
	file := filepath.Join(w.TempDir(), "manifests.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
	w.kubectl("apply", "-f", file)
}
