package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// VaultPolicySpec says who may do what on which paths. It only ever allows; there is no deny.
type VaultPolicySpec struct {
	// rules allow; a request passes when one rule matches its path, its permission and all conditions.
	// +listType=atomic
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Rules []PolicyRule `json:"rules"`

	// subjects are whom the rules speak of.
	// +optional
	// +listType=atomic
	// +kubebuilder:validation:MaxItems=256
	Subjects []PolicySubject `json:"subjects,omitempty"`
}

// PolicyRule allows permissions on paths.
//
// +kubebuilder:validation:XValidation:rule="!('issue' in self.permissions) || self.paths.all(p, p.startsWith('pki:'))",message="permission issue needs paths of class pki, such as pki:web-*"
// +kubebuilder:validation:XValidation:rule="!('generate' in self.permissions) || self.paths.all(p, p.startsWith('dynamic:'))",message="permission generate needs paths of class dynamic, such as dynamic:postgres/*"
type PolicyRule struct {
	// paths are patterns: * is one segment or part of one, ** any number of segments, ? one character;
	// {namespace} is the caller's own Kubernetes namespace. A class in front (pki:, dynamic:, partner:)
	// speaks of something other than secrets.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	Paths []PathPattern `json:"paths"`

	// permissions are what is allowed on them.
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=8
	Permissions []Permission `json:"permissions"`

	// when lists conditions that must all hold. They are judged on the caller: for a VaultSecret that is
	// the operator and not the pod.
	// +optional
	When *PolicyConditions `json:"when,omitempty"`
}

// PathPattern is a pattern over paths.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="self.matches('^((pki|dynamic|partner):)?[^/:][^:]*$') && !self.contains('//') && !self.endsWith('/')",message="must be [pki:|dynamic:|partner:]pattern, without a leading, trailing or doubled slash"
type PathPattern string

// Permission is one kind of access.
//
// +kubebuilder:validation:Enum=read;write;delete;list;rotate;admin;issue;generate
type Permission string

// PolicyConditions must all hold for a rule to apply.
type PolicyConditions struct {
	// ipRanges are the networks, in CIDR form, that the call must come from; without it, from anywhere.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MaxLength=64
	// +kubebuilder:validation:items:XValidation:rule="isCIDR(self)",message="must be a network such as 10.0.0.0/8 or fd00::/8"
	IPRanges []string `json:"ipRanges,omitempty"`

	// mfa says whether the caller must have confirmed himself with a second factor.
	// +optional
	MFA MFARequirement `json:"mfa,omitempty"`

	// timeWindow is the part of the week in which the rule applies.
	// +optional
	TimeWindow *TimeWindow `json:"timeWindow,omitempty"`
}

// MFARequirement says whether a second factor is needed.
//
// +kubebuilder:validation:Enum=Required
type MFARequirement string

// MFARequired asks for a second factor.
const MFARequired MFARequirement = "Required"

// TimeWindow is a part of the week.
type TimeWindow struct {
	// days of the week; without it, every day.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=7
	Days []Weekday `json:"days,omitempty"`

	// start is the local time at which the window opens, as 08:00.
	// +kubebuilder:validation:Pattern=`^([01][0-9]|2[0-3]):[0-5][0-9]$`
	Start string `json:"start"`

	// end is the local time at which the window closes, as 18:00.
	// +kubebuilder:validation:Pattern=`^(([01][0-9]|2[0-3]):[0-5][0-9]|24:00)$`
	End string `json:"end"`

	// timeZone is an IANA name such as Europe/Amsterdam; without it, UTC.
	// +optional
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`
}

// Weekday is a day of the week.
//
// +kubebuilder:validation:Enum=mon;tue;wed;thu;fri;sat;sun
type Weekday string

// SubjectKind says what a subject is.
//
// +kubebuilder:validation:Enum=ServiceAccount;ServiceAccounts;Identity
type SubjectKind string

// Kinds of subjects.
const (
	// SubjectServiceAccount is one ServiceAccount of this cluster.
	SubjectServiceAccount SubjectKind = "ServiceAccount"
	// SubjectServiceAccounts is the ServiceAccount of one name in every namespace that a selector matches.
	SubjectServiceAccounts SubjectKind = "ServiceAccounts"
	// SubjectIdentity is an identity of the vault as it stands.
	SubjectIdentity SubjectKind = "Identity"
)

// PolicySubject is whom a policy speaks of.
//
// +kubebuilder:validation:XValidation:rule="self.kind == 'ServiceAccount' ? has(self.namespace) : !has(self.namespace)",message="namespace is required with kind ServiceAccount and not allowed otherwise"
// +kubebuilder:validation:XValidation:rule="self.kind == 'ServiceAccounts' ? has(self.namespaceSelector) : !has(self.namespaceSelector)",message="namespaceSelector is required with kind ServiceAccounts and not allowed otherwise"
// +kubebuilder:validation:XValidation:rule="self.kind == 'Identity' ? has(self.type) : !has(self.type)",message="type is required with kind Identity and not allowed otherwise"
// +kubebuilder:validation:XValidation:rule="self.kind == 'Identity' || self.name.matches('^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$')",message="name must be the name of a ServiceAccount"
// +kubebuilder:validation:XValidation:rule="self.kind != 'Identity' || !self.name.matches('^(system|dynamic):')",message="identities of system: and dynamic: cannot be bound"
type PolicySubject struct {
	// kind is ServiceAccount, ServiceAccounts or Identity.
	Kind SubjectKind `json:"kind"`

	// namespace of the ServiceAccount; kind ServiceAccount only.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace"
	Namespace string `json:"namespace,omitempty"`

	// namespaceSelector picks namespaces by label; kind ServiceAccounts only. An empty selector picks all.
	// +optional
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`

	// type of the identity; kind Identity only.
	// +optional
	Type IdentityType `json:"type,omitempty"`

	// name of the ServiceAccount, or the identity such as user:ann@example.com or group:ops.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`

	// expiresAt ends the binding at that moment.
	// +optional
	ExpiresAt *metav1.Time `json:"expiresAt,omitempty"`
}

// IdentityType is the type of an identity in the vault.
//
// +kubebuilder:validation:Enum=user;service_account;group
type IdentityType string

// Types of identities.
const (
	// IdentityUser is a person, such as user:ann@example.com.
	IdentityUser IdentityType = "user"
	// IdentityServiceAccount is a workload, such as sa:billing:billing-prod.
	IdentityServiceAccount IdentityType = "service_account"
	// IdentityGroup is everybody of a group, such as group:ops.
	IdentityGroup IdentityType = "group"
)

// VaultPolicyStatus is what the operator saw and did last.
type VaultPolicyStatus struct {
	ObjectStatus `json:",inline"`

	// policyID is the id of the policy in the vault.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PolicyID string `json:"policyID,omitempty"`

	// bindings is the number of identities bound to it.
	// +optional
	Bindings int32 `json:"bindings,omitempty"`
}

// VaultPolicy allows ServiceAccounts and other identities access to paths of the vault. It reads like a
// RoleBinding; it is cluster-scoped, so that a namespace cannot grant itself anything.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,shortName=vp,categories=scaivault
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Bindings",type=integer,JSONPath=`.status.bindings`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="name must be at most 63 characters, it becomes part of the policy's name in the vault"
type VaultPolicy struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec VaultPolicySpec `json:"spec"`
	// status is what the operator saw and did last.
	// +optional
	Status VaultPolicyStatus `json:"status,omitempty"`
}

// ObjectStatus returns the part of the status that every kind has.
func (p *VaultPolicy) ObjectStatus() *ObjectStatus { return &p.Status.ObjectStatus }

// VaultPolicyList is a list of VaultPolicies.
//
// +kubebuilder:object:root=true
type VaultPolicyList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []VaultPolicy `json:"items"`
}
