package v1alpha1

import (
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Restart says which workloads are restarted when the content of a Secret changed. They are those of the
// namespace of the Secret; the first content of a Secret restarts nothing.
//
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Listed') == (has(self.workloads) && size(self.workloads) > 0)",message="workloads must name at least one workload for mode Listed, and none for another mode"
type Restart struct {
	// mode is None, Listed (those of workloads, however they use the Secret) or Consumers (those whose pod
	// template uses the Secret by environment or by file; with refreshPods Immediate only those that a refreshed
	// file does not help: environment, subPath, init containers, an immutable Secret).
	Mode RestartMode `json:"mode"`

	// workloads are those of mode Listed. One that does not exist is reported in status.restart.missing.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Workloads []WorkloadReference `json:"workloads,omitempty"`

	// debounce is the time from the first change to the restart: all changes that fall into it, also of other
	// Secrets that the same workload uses, give one restart. Without it, 10s.
	// +optional
	Debounce Duration `json:"debounce,omitempty"`
}

// RestartMode says how the workloads to restart are found.
//
// +kubebuilder:validation:Enum=None;Listed;Consumers
type RestartMode string

// Modes of restart.
const (
	// RestartNone restarts nothing.
	RestartNone RestartMode = "None"
	// RestartListed restarts the listed workloads.
	RestartListed RestartMode = "Listed"
	// RestartConsumers restarts the workloads that use the Secret.
	RestartConsumers RestartMode = "Consumers"
)

// WorkloadReference names a workload of the same namespace.
type WorkloadReference struct {
	// kind is Deployment, StatefulSet or DaemonSet. A CronJob has nothing to restart: its next Job starts with
	// the new content, and a Job that runs is left to end.
	Kind WorkloadKind `json:"kind"`

	// name of the workload.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// WorkloadKind is a kind whose pods can be replaced one after the other.
//
// +kubebuilder:validation:Enum=Deployment;StatefulSet;DaemonSet
type WorkloadKind string

// Kinds of workloads that can be restarted.
const (
	KindDeployment  WorkloadKind = "Deployment"
	KindStatefulSet WorkloadKind = "StatefulSet"
	KindDaemonSet   WorkloadKind = "DaemonSet"
)

// RefreshChoice says how a change reaches the files of running pods.
//
// +kubebuilder:validation:Enum=Kubelet;Immediate
type RefreshChoice string

// Choices of spec.refreshPods.
const (
	// RefreshByKubelet leaves it to the kubelet's own sync, about a minute.
	RefreshByKubelet RefreshChoice = "Kubelet"
	// RefreshImmediately makes the kubelets look at once.
	RefreshImmediately RefreshChoice = "Immediate"
)

// RestartStatus says what the workloads have been told of the content.
type RestartStatus struct {
	// checksum marks the content that the target holds: SHA-256 over etags, templates and the keys' map, never
	// over a value. A workload carries, as an annotation of its pod template, that of the content which it was
	// last restarted for.
	// +kubebuilder:validation:MaxLength=64
	Checksum string `json:"checksum"`

	// since is when the content changed first without a restart yet; absent when no restart is owed.
	// +optional
	Since *metav1.MicroTime `json:"since,omitempty"`

	// missing lists the workloads of spec.restart.workloads that did not exist when they were last looked for;
	// at most 50, because the spec names no more.
	// +optional
	// +listType=map
	// +listMapKey=kind
	// +listMapKey=name
	// +kubebuilder:validation:MaxItems=50
	Missing []WorkloadReference `json:"missing,omitempty"`
}

// Active tells whether anything may be restarted; the zero value and nil are not.
func (r *Restart) Active() bool {
	return r != nil && (r.Mode == RestartListed || r.Mode == RestartConsumers)
}

// Lists tells whether a workload is one of the list of mode Listed.
func (r *Restart) Lists(kind, name string) bool {
	return r != nil && r.Mode == RestartListed && slices.Contains(r.Workloads, WorkloadReference{Kind: WorkloadKind(kind), Name: name})
}
