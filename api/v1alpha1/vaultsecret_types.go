package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// VaultSecretSpec says what is read from the vault, as whom, and what Secret is made of it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.data) || self.data.all(d, !has(d.from) || self.sources.exists(s, s.name == d.from.source && has(s.path)))",message="data[].from.source must be the name of one of spec.sources, and that source must have a path; fields below a pathPrefix are reached by dataFrom and by templates"
// +kubebuilder:validation:XValidation:rule="!has(self.dataFrom) || self.dataFrom.all(d, self.sources.exists(s, s.name == d.source))",message="dataFrom[].source must be the name of one of spec.sources"
type VaultSecretSpec struct {
	// serviceAccountName is the ServiceAccount of this namespace whose rights read the vault; without it, default.
	// The operator has no right of its own to read a value.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a ServiceAccount in this namespace"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// sources are the secrets that are read. Everything else refers to them by name. All pathPrefix sources
	// together cover at most 500 secrets.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=100
	Sources []Source `json:"sources"`

	// data lists keys of the Kubernetes Secret, each from one field or from a template.
	// Without data and dataFrom every field of every source becomes a key of the same name.
	// +optional
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MaxItems=256
	Data []DataEntry `json:"data,omitempty"`

	// dataFrom writes all fields of a source, filtered and renamed.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=100
	DataFrom []DataFrom `json:"dataFrom,omitempty"`

	// target is the Kubernetes Secret; without it, one of type Opaque that is named like this object.
	// +optional
	Target *SecretTarget `json:"target,omitempty"`

	// whenDeleted says what becomes of the Kubernetes Secret when this object is deleted; without it, Delete.
	// A retained Secret carries scaivault.io/adopt, so that a VaultSecret of the same name takes it up again.
	// Of a Shared target Delete takes this object's keys away, and the Secret when the operator made it and nobody
	// else has a key in it; Retain leaves the keys and takes only the marks of ownership away.
	// +optional
	WhenDeleted DeletionChoice `json:"whenDeleted,omitempty"`

	// whenSourceMissing says what becomes of the Kubernetes Secret when the vault no longer has a source
	// that a key needs; without it, Keep.
	// +optional
	WhenSourceMissing MissingChoice `json:"whenSourceMissing,omitempty"`

	// restart says which workloads of this namespace are restarted when the content changed; without it, none.
	// +optional
	Restart *Restart `json:"restart,omitempty"`

	// refreshPods says how a change reaches the files of pods that mount the Secret as a volume: Kubelet (its next
	// sync, about a minute) or Immediate (at once, where the install allows it: the operator's flag --refresh-pods);
	// without it, Kubelet. Environment variables and subPath mounts of a running pod never change: see restart.
	// +optional
	RefreshPods RefreshChoice `json:"refreshPods,omitempty"`

	// refreshInterval is a safety net: changes arrive as events. At least 10s; without it, 1h.
	// +optional
	RefreshInterval Duration `json:"refreshInterval,omitempty"`

	// suspend stops all work on this object but its deletion.
	// +optional
	Suspend bool `json:"suspend,omitempty"`
}

// Source is one secret in the vault, or all below a prefix.
//
// +kubebuilder:validation:XValidation:rule="has(self.path) != has(self.pathPrefix)",message="exactly one of path and pathPrefix must be set"
// +kubebuilder:validation:XValidation:rule="!has(self.pathPrefix) || !has(self.version)",message="version pins one secret and cannot be set with pathPrefix"
type Source struct {
	// name is what data, dataFrom and templates call this source. A template sees a source with a path as a
	// map of its fields ({{ .db.url }}), and one with a pathPrefix as a map of such maps by the secrets' names
	// ({{ range $name, $fields := .all }}, {{ (index .all "database").url }}).
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z][A-Za-z0-9_-]*$')",message="must start with a-z and hold letters, digits, - and _ only"
	Name string `json:"name"`

	// path is the path of the secret in the vault.
	// +optional
	Path SecretPath `json:"path,omitempty"`

	// pathPrefix stands for every secret below it, at any depth, that the ServiceAccount may list and read; it
	// ends in a slash. Secrets come and go as they are made and deleted. What one is called is the rest of its
	// path behind the prefix, with a dot for each slash.
	// +optional
	PathPrefix PathPrefix `json:"pathPrefix,omitempty"`

	// version pins one version; without it the newest is followed.
	// +optional
	// +kubebuilder:validation:Minimum=1
	Version *int64 `json:"version,omitempty"`
}

// DataEntry is one key of the Kubernetes Secret.
//
// +kubebuilder:validation:XValidation:rule="has(self.from) != has(self.template)",message="exactly one of from and template must be set"
type DataEntry struct {
	// key is the key in the Kubernetes Secret.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[-._a-zA-Z0-9]+$') && self != '.' && !self.startsWith('..')",message="must hold letters, digits, -, . and _ only, and neither be . nor start with .."
	Key string `json:"key"`

	// from takes one field of one source.
	// +optional
	From *FieldRef `json:"from,omitempty"`

	// template is Go text/template over the sources by name: "postgres://{{ .db.user }}@{{ .db.host }}".
	// Functions: see the VaultSecret page (docs/spec/vaultsecret.md); none reads anything but the sources.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=65536
	Template string `json:"template,omitempty"`
}

// FieldRef is one field of one source.
type FieldRef struct {
	// source is the name of one of spec.sources.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Source string `json:"source"`

	// field is a top-level field of the secret's data. A string is written as its bytes, anything else as
	// compact JSON with numbers as they were written.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=256
	Field string `json:"field"`

	// decode turns the string into bytes before it is written.
	// +optional
	Decode Decoding `json:"decode,omitempty"`

	// optional leaves the key out when the field, or the whole secret, does not exist.
	// +optional
	Optional bool `json:"optional,omitempty"`
}

// Decoding is how a string becomes bytes.
//
// +kubebuilder:validation:Enum=Base64
type Decoding string

// DecodeBase64 reads standard or URL-safe Base64, with or without padding; line breaks are ignored.
const DecodeBase64 Decoding = "Base64"

// DataFrom writes all fields of a source.
type DataFrom struct {
	// source is the name of one of spec.sources.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	Source string `json:"source"`

	// keyFormat makes the key: {field} is the field, and {name} the last segment of the path, or below a
	// pathPrefix the rest of the path with a dot for each slash; without it, "{field}".
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.contains('{field}') && self.matches('^([-._a-zA-Z0-9]|[{]name[}]|[{]field[}])+$')",message="must contain {field}, may contain {name}, and otherwise hold letters, digits, -, . and _ only"
	KeyFormat string `json:"keyFormat,omitempty"`

	// include keeps only the keys that match one of these globs (* is any run, ? one character), judged
	// on the key as it would be written; without it, all.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Include []string `json:"include,omitempty"`

	// exclude drops the keys that match one of these globs, also when include named them.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=253
	Exclude []string `json:"exclude,omitempty"`
}

// SecretTarget is the Kubernetes Secret that is written. It is always in the namespace of the object that names it.
//
// +kubebuilder:validation:XValidation:rule="!has(self.mode) || self.mode != 'Shared' || !has(self.immutable) || !self.immutable",message="a Shared target cannot be immutable: it is never replaced"
type SecretTarget struct {
	// name of the Secret; without it, the name of this object. After a change the Secret of the old name
	// is released as whenDeleted says.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be a valid Secret name: lower-case letters, digits, - and ."
	Name string `json:"name,omitempty"`

	// type of the Secret, which for a Shared one counts only when it is made and must agree afterwards: Opaque, kubernetes.io/tls, kubernetes.io/dockerconfigjson, kubernetes.io/basic-auth,
	// kubernetes.io/ssh-auth, or what the operator was started to allow besides; without it, Opaque.
	// Types that make Kubernetes itself act, such as service-account-token, are never allowed.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="!self.matches('^(kubernetes[.]io/service-account-token|bootstrap[.]kubernetes[.]io/token|helm[.]sh/.*)$')",message="this type makes Kubernetes or Helm act on the Secret and is never written"
	Type string `json:"type,omitempty"`

	// labels of the Secret besides our own. Labels of kubernetes.io, k8s.io, helm.sh, argoproj.io,
	// replicators and scaivault.io are refused.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|helm[.]sh|argoproj[.]io|scaivault[.]io|k8s[.]emberstack[.]com|mittwald[.]de)/'))",message="labels of kubernetes.io, k8s.io, helm.sh, argoproj.io, secret replicators and scaivault.io are not allowed on a target"
	Labels map[string]LabelValue `json:"labels,omitempty"`

	// annotations of the Secret besides our own. The same prefixes are refused as for labels.
	// +optional
	// +kubebuilder:validation:MaxProperties=32
	// +kubebuilder:validation:XValidation:rule="self.all(k, size(k) <= 317 && !k.matches('^([^/]*[.])?(kubernetes[.]io|k8s[.]io|helm[.]sh|argoproj[.]io|scaivault[.]io|k8s[.]emberstack[.]com|mittwald[.]de)/'))",message="annotations of kubernetes.io, k8s.io, helm.sh, argoproj.io, secret replicators and scaivault.io are not allowed on a target"
	Annotations map[string]AnnotationValue `json:"annotations,omitempty"`

	// mode says who else may write to the Secret; without it, Exclusive. An Exclusive target is made and owned by
	// this object alone, and whatever else is in it goes. A Shared one holds keys of several objects and of others:
	// this object writes its own keys, and reports those that somebody else holds in status.conflicts.
	// +optional
	Mode TargetMode `json:"mode,omitempty"`

	// immutable makes the Secret immutable; when its content has to change it is replaced by a new one.
	// +optional
	Immutable bool `json:"immutable,omitempty"`
}

// TargetMode says who else may write to a target.
//
// +kubebuilder:validation:Enum=Exclusive;Shared
type TargetMode string

// Modes of a target.
const (
	// ExclusiveTarget is this object's alone.
	ExclusiveTarget TargetMode = "Exclusive"
	// SharedTarget holds keys of others as well.
	SharedTarget TargetMode = "Shared"
)

// LabelValue is the value of a label.
//
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$')",message="must be a valid label value: letters, digits, -, _ and ., at most 63"
type LabelValue string

// AnnotationValue is the value of an annotation.
//
// +kubebuilder:validation:MaxLength=4096
type AnnotationValue string

// DeletionChoice says what becomes of what an object made when the object is deleted.
//
// +kubebuilder:validation:Enum=Delete;Retain
type DeletionChoice string

// Choices of spec.whenDeleted.
const (
	// DeleteTarget takes the Secret, or what is ours of a Shared one, away.
	DeleteTarget DeletionChoice = "Delete"
	// RetainTarget leaves it as it is.
	RetainTarget DeletionChoice = "Retain"
)

// MissingChoice says what becomes of the target when a source is gone.
//
// +kubebuilder:validation:Enum=Keep;Delete
type MissingChoice string

// Choices of spec.whenSourceMissing.
const (
	// KeepWhenMissing leaves the Secret as it is until the source is back.
	KeepWhenMissing MissingChoice = "Keep"
	// DeleteWhenMissing deletes the Secret once it is certain that the source is gone.
	DeleteWhenMissing MissingChoice = "Delete"
)

// VaultSecretStatus is what the operator saw and did last.
type VaultSecretStatus struct {
	ObjectStatus `json:",inline"`

	// binding names the Secret in the way that service-binding tools look for it.
	// +optional
	Binding *BindingReference `json:"binding,omitempty"`

	// target is the Secret as it was last written; another resourceVersion means that somebody else wrote to it,
	// which is normal where it is Shared.
	// +optional
	Target *TargetStatus `json:"target,omitempty"`

	// synced lists which version of which secret the target holds, at most 50.
	// +optional
	// +listType=map
	// +listMapKey=source
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=50
	Synced []SyncedSource `json:"synced,omitempty"`

	// syncedCount is the number of secrets, also beyond the 50 that synced lists.
	// +optional
	SyncedCount int32 `json:"syncedCount,omitempty"`

	// syncedDigest is SHA-256 over the sources' names, paths and etags, also beyond the 50 that synced lists. By
	// it a restart sees without reading a value that nothing changed; it says nothing about values.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	SyncedDigest string `json:"syncedDigest,omitempty"`

	// conflicts lists keys of a Shared target that are not written because somebody else holds them, at most 50.
	// A label or annotation stands as metadata.labels[name] or metadata.annotations[name].
	// +optional
	// +listType=map
	// +listMapKey=key
	// +kubebuilder:validation:MaxItems=50
	Conflicts []KeyConflict `json:"conflicts,omitempty"`

	// conflictCount is the number of conflicts, also beyond the 50 that conflicts lists.
	// +optional
	ConflictCount int32 `json:"conflictCount,omitempty"`

	// restart says what the workloads of spec.restart have been told of the content.
	// +optional
	Restart *RestartStatus `json:"restart,omitempty"`

	// lastSyncTime is when content was last applied; it does not move when nothing changed.
	// +optional
	LastSyncTime *metav1.Time `json:"lastSyncTime,omitempty"`
}

// BindingReference names a Secret of the same namespace.
type BindingReference struct {
	// name of the Secret.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
}

// TargetStatus identifies one state of one Secret.
type TargetStatus struct {
	// name of the Secret.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// uid of the Secret.
	// +kubebuilder:validation:MaxLength=64
	UID string `json:"uid"`
	// resourceVersion that our last write left.
	// +kubebuilder:validation:MaxLength=64
	ResourceVersion string `json:"resourceVersion"`
	// mode in which it was written; without it, Exclusive.
	// +optional
	Mode TargetMode `json:"mode,omitempty"`
}

// KeyConflict is a key of the target that somebody else holds.
type KeyConflict struct {
	// key of the Secret.
	// +kubebuilder:validation:MaxLength=384
	Key string `json:"key"`
	// manager is the field manager that holds it, as in managedFields; unknown where Kubernetes does not say.
	// +kubebuilder:validation:MaxLength=128
	Manager string `json:"manager"`
}

// SyncedSource is the state of one secret in the target.
type SyncedSource struct {
	// source is the name in spec.sources.
	// +kubebuilder:validation:MaxLength=63
	Source string `json:"source"`
	// path of the secret.
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`
	// version of the secret; 0 when it is missing and every key from it is optional.
	Version int64 `json:"version"`
	// etag is the opaque mark of the version; it says nothing about the value.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	ETag string `json:"etag,omitempty"`

	// expiresAt is when this version expires in the vault, if it does; the object is looked at then.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`

	// appliedAt is when the target's content last changed with a version of this secret. Whoever was started later
	// reads what this version says.
	// +optional
	AppliedAt *metav1.Time `json:"appliedAt,omitempty"`
}

// VaultSecret keeps one Kubernetes Secret equal to secrets in the vault, read with the rights of a
// ServiceAccount of its namespace.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=vs,categories=scaivault
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Target",type=string,JSONPath=`.status.binding.name`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Last-Sync",type=date,JSONPath=`.status.lastSyncTime`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type VaultSecret struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec VaultSecretSpec `json:"spec"`
	// status is what the operator saw and did last.
	// +optional
	Status VaultSecretStatus `json:"status,omitempty"`
}

// ObjectStatus returns the part of the status that every kind has.
func (v *VaultSecret) ObjectStatus() *ObjectStatus { return &v.Status.ObjectStatus }

// ServiceAccount is the name of the ServiceAccount whose rights are used.
func (v *VaultSecret) ServiceAccount() string {
	if v.Spec.ServiceAccountName == "" {
		return "default"
	}
	return v.Spec.ServiceAccountName
}

// TargetName is the name of the Secret that this object writes.
func (v *VaultSecret) TargetName() string {
	if v.Spec.Target == nil || v.Spec.Target.Name == "" {
		return v.Name
	}
	return v.Spec.Target.Name
}

// Shared tells whether others may write to the target as well.
func (v *VaultSecret) Shared() bool {
	return v.Spec.Target != nil && v.Spec.Target.Mode == SharedTarget
}

// VaultSecretList is a list of VaultSecrets.
//
// +kubebuilder:object:root=true
type VaultSecretList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VaultSecret `json:"items"`
}
