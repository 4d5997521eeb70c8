package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// RotationScheduleSpec says which secrets are rotated, when, and how long the old version stays readable.
//
// +kubebuilder:validation:XValidation:rule="self.mode == 'Generate' || !has(self.generate)",message="generate is only possible with mode Generate; with mode Notify somebody else writes the new version"
type RotationScheduleSpec struct {
	// serviceAccountName is the ServiceAccount of this namespace that must hold permission rotate on every path (and
	// write with mode Generate); without it, default. The vault asks for that when a path is taken on and again each
	// time that it is rotated.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a ServiceAccount in this namespace"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// secrets are those that are rotated; at most 10000.
	Secrets RotatedSecrets `json:"secrets"`

	// when says how often, or at which times.
	When RotationTimes `json:"when"`

	// mode is Generate (the vault makes the new value) or Notify (the vault says rotation.due, and waits for a write).
	Mode RotationMode `json:"mode"`

	// generate says how the vault makes the fields that are replaced; the others stay. Without it, a random string of
	// 32 letters and digits in the field password, or in the only field there is.
	// +optional
	Generate *Generation `json:"generate,omitempty"`

	// grace says how long the old version stays readable after a rotation; without it, 48h.
	// +optional
	Grace *RotationGrace `json:"grace,omitempty"`

	// warnBefore lists how long before a rotation the event rotation.due tells of it, such as 7d and 1d; without it,
	// not before it is due.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=8
	WarnBefore []Duration `json:"warnBefore,omitempty"`
}

// RotatedSecrets selects secrets: those that any of its members selects.
//
// +kubebuilder:validation:XValidation:rule="(has(self.paths) && size(self.paths) > 0) || has(self.pathPattern) || (has(self.tags) && size(self.tags) > 0)",message="at least one of paths, pathPattern and tags must be set"
type RotatedSecrets struct {
	// paths of secrets. One that does not exist yet is taken on when it is made.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=500
	Paths []SecretPath `json:"paths,omitempty"`

	// pathPattern stands for all secrets that it covers and the ServiceAccount may list: * is one segment or part of
	// one, ** any number of segments, ? one character; {namespace} is the namespace of this object. Secrets come and
	// go as they are made and deleted.
	// +optional
	PathPattern SecretPattern `json:"pathPattern,omitempty"`

	// tags stand for all secrets that carry one of them and that the ServiceAccount may list.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=64
	// +kubebuilder:validation:items:MinLength=1
	// +kubebuilder:validation:items:MaxLength=128
	Tags []string `json:"tags,omitempty"`
}

// SecretPattern is a pattern over the paths of secrets.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=512
// +kubebuilder:validation:XValidation:rule="self.matches('^[^/:][^:]*$') && !self.contains('//') && !self.endsWith('/')",message="must be a pattern over paths of secrets such as environments/production/*/database, without a class and without a leading, trailing or doubled slash"
type SecretPattern string

// RotationTimes say when secrets are rotated.
//
// +kubebuilder:validation:XValidation:rule="has(self.every) != has(self.cron)",message="exactly one of every and cron must be set"
// +kubebuilder:validation:XValidation:rule="has(self.cron) || (!has(self.timeZone) && !has(self.window))",message="timeZone and window are only possible with cron"
type RotationTimes struct {
	// every is the time between two rotations of a secret, counted from its last one, such as 90d. It must be longer
	// than the grace period.
	// +optional
	Every Duration `json:"every,omitempty"`

	// cron gives the times as five fields: minute, hour, day of the month, month, day of the week; "0 3 * * 6" is
	// Saturday at three.
	// +optional
	// +kubebuilder:validation:MinLength=9
	// +kubebuilder:validation:MaxLength=128
	Cron string `json:"cron,omitempty"`

	// timeZone is whose clock cron reads, an IANA name such as Europe/Amsterdam; without it, UTC.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	TimeZone string `json:"timeZone,omitempty"`

	// window is how long after a time of cron a rotation may begin. One that could not is overdue and waits for the
	// next time; without a window it is made up for as soon as possible.
	// +optional
	Window Duration `json:"window,omitempty"`

	// spread parts the rotations of many secrets over this time, each at its own fixed moment: with cron after the
	// time, with every before it is due. Without it, with cron 1h or the window if that is shorter, and with every not
	// at all.
	// +optional
	Spread Duration `json:"spread,omitempty"`
}

// RotationMode says who makes the new value.
//
// +kubebuilder:validation:Enum=Generate;Notify
type RotationMode string

// Modes of rotation.
const (
	// RotationGenerate lets the vault make the value.
	RotationGenerate RotationMode = "Generate"
	// RotationNotify lets the vault say that it is time, and somebody else write.
	RotationNotify RotationMode = "Notify"
)

// Generation is how the vault makes new values.
type Generation struct {
	// fields that are replaced.
	// +listType=map
	// +listMapKey=name
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=32
	Fields []GeneratedField `json:"fields"`
}

// GeneratedField is one field of a secret and how it is made. What a generator makes besides, such as the other half
// of a key pair, goes into fields that it names itself.
//
// +kubebuilder:validation:XValidation:rule="self.generator in ['random', 'hex', 'bcrypt_hash'] || !has(self.length)",message="length is only possible with the generators random, hex and bcrypt_hash"
// +kubebuilder:validation:XValidation:rule="self.generator == 'random' || (!has(self.charset) && !has(self.require))",message="charset and require are only possible with the generator random"
// +kubebuilder:validation:XValidation:rule="self.generator == 'template' ? has(self.template) : !has(self.template)",message="template is required with the generator template and not allowed otherwise"
// +kubebuilder:validation:XValidation:rule="self.generator == 'rsa_keypair' || !has(self.bits)",message="bits is only possible with the generator rsa_keypair"
// +kubebuilder:validation:XValidation:rule="self.generator == 'ec_keypair' || !has(self.curve)",message="curve is only possible with the generator ec_keypair"
// +kubebuilder:validation:XValidation:rule="self.generator == 'ssh_keypair' || (!has(self.keyType) && !has(self.comment))",message="keyType and comment are only possible with the generator ssh_keypair"
// +kubebuilder:validation:XValidation:rule="self.generator == 'uuid' || !has(self.version)",message="version is only possible with the generator uuid"
// +kubebuilder:validation:XValidation:rule="self.generator == 'bcrypt_hash' || !has(self.rounds)",message="rounds is only possible with the generator bcrypt_hash"
type GeneratedField struct {
	// name of the field in the secret's data.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=128
	Name string `json:"name"`

	// generator makes the value.
	Generator Generator `json:"generator"`

	// length of the text in characters; random and bcrypt_hash 32 without it, hex as well.
	// +optional
	// +kubebuilder:validation:Minimum=1
	// +kubebuilder:validation:Maximum=4096
	Length int32 `json:"length,omitempty"`

	// charset that random takes characters from; without it, alphanumeric.
	// +optional
	Charset Charset `json:"charset,omitempty"`

	// require lists kinds of characters of which random has at least one each.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MaxItems=4
	Require []CharacterKind `json:"require,omitempty"`

	// template of the text: {{random:N}}, {{hex:N}}, {{uuid}} and {{timestamp}} are replaced.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=4096
	Template string `json:"template,omitempty"`

	// bits of an RSA key; without it, 2048.
	// +optional
	// +kubebuilder:validation:Enum=2048;4096
	Bits int32 `json:"bits,omitempty"`

	// curve of an EC key; without it, P-256.
	// +optional
	// +kubebuilder:validation:Enum=P-256;P-384
	Curve string `json:"curve,omitempty"`

	// keyType of an SSH key; without it, ed25519.
	// +optional
	// +kubebuilder:validation:Enum=ed25519;rsa
	KeyType string `json:"keyType,omitempty"`

	// comment of an SSH key.
	// +optional
	// +kubebuilder:validation:MaxLength=256
	Comment string `json:"comment,omitempty"`

	// version of a UUID; without it, 4.
	// +optional
	// +kubebuilder:validation:Enum=4;7
	Version int32 `json:"version,omitempty"`

	// rounds of bcrypt, as a power of two; without it, 12.
	// +optional
	// +kubebuilder:validation:Minimum=4
	// +kubebuilder:validation:Maximum=15
	Rounds int32 `json:"rounds,omitempty"`
}

// Generator makes a value. There is none for a fixed value: it would stand here for everybody to read.
//
// +kubebuilder:validation:Enum=random;hex;uuid;template;rsa_keypair;ec_keypair;ssh_keypair;bcrypt_hash
type Generator string

// Charset names a set of characters.
//
// +kubebuilder:validation:Enum=alphanumeric;alpha;numeric;hex;safe;ascii
type Charset string

// CharacterKind is a kind of characters.
//
// +kubebuilder:validation:Enum=Upper;Lower;Digit;Symbol
type CharacterKind string

// Kinds of characters.
const (
	// CharacterUpper is A to Z.
	CharacterUpper CharacterKind = "Upper"
	// CharacterLower is a to z.
	CharacterLower CharacterKind = "Lower"
	// CharacterDigit is 0 to 9.
	CharacterDigit CharacterKind = "Digit"
	// CharacterSymbol is any other of the charset.
	CharacterSymbol CharacterKind = "Symbol"
)

// RotationGrace says how long the old version stays readable.
//
// +kubebuilder:validation:XValidation:rule="!has(self.deadline) || (has(self.waitForConsumers) && self.waitForConsumers)",message="deadline is only possible with waitForConsumers: true; without it the old version ends after period"
type RotationGrace struct {
	// period is the least time that the old version stays readable; without it, 48h.
	// +optional
	Period Duration `json:"period,omitempty"`

	// waitForConsumers keeps the old version readable until every VaultSecret of this cluster that reads the secret
	// holds the new one and the workloads that use it run with it, even after period. What that proves and what it
	// does not: see docs/spec/rotationschedule.md.
	// +optional
	WaitForConsumers bool `json:"waitForConsumers,omitempty"`

	// deadline ends the old version however its consumers are; it counts from the rotation and is not shorter than
	// period. Without it, 7d, or period if that is longer.
	// +optional
	Deadline Duration `json:"deadline,omitempty"`
}

// RotationScheduleStatus is what the operator saw and did last.
type RotationScheduleStatus struct {
	ObjectStatus `json:",inline"`

	// policyID is the id of the rotation policy in the vault.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	PolicyID string `json:"policyID,omitempty"`

	// secrets is the number of secrets that are rotated by this object.
	// +optional
	Secrets int32 `json:"secrets,omitempty"`

	// next is when the next of them is rotated.
	// +optional
	Next *metav1.Time `json:"next,omitempty"`

	// last is when one of them was rotated last.
	// +optional
	Last *metav1.Time `json:"last,omitempty"`

	// due is the number of secrets whose rotation was announced or is going on.
	// +optional
	Due int32 `json:"due,omitempty"`

	// overdue is the number of secrets whose time has passed without a new version.
	// +optional
	Overdue int32 `json:"overdue,omitempty"`

	// failed is the number of secrets whose rotation failed so often that the vault tries it only once a day.
	// +optional
	Failed int32 `json:"failed,omitempty"`

	// refused lists selected secrets that are not rotated, and why; at most 50.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=50
	Refused []RefusedSecret `json:"refused,omitempty"`

	// refusedCount is the number of refused secrets, also beyond the 50 that refused lists.
	// +optional
	RefusedCount int32 `json:"refusedCount,omitempty"`

	// conflicts lists secrets that another RotationSchedule selects as well, at most 50. The older object rotates them.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=50
	Conflicts []RotationConflict `json:"conflicts,omitempty"`

	// conflictCount is the number of conflicts, also beyond the 50 that conflicts lists.
	// +optional
	ConflictCount int32 `json:"conflictCount,omitempty"`

	// failures lists secrets whose last rotation failed, at most 50.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=50
	Failures []RotationFailure `json:"failures,omitempty"`

	// failureCount is the number of failures, also beyond the 50 that failures lists.
	// +optional
	FailureCount int32 `json:"failureCount,omitempty"`

	// rotations lists the secrets whose old version is still readable or whose consumers are still waited for, and then
	// those that ended last; at most 50.
	// +optional
	// +listType=map
	// +listMapKey=path
	// +kubebuilder:validation:MaxItems=50
	Rotations []RotationProgress `json:"rotations,omitempty"`

	// rotating is the number of rotations that are not Retired, also beyond the 50 that rotations lists.
	// +optional
	Rotating int32 `json:"rotating,omitempty"`

	// forced is the request of scaivault.io/requestedAt that is being carried out.
	// +optional
	Forced *ForcedRotation `json:"forced,omitempty"`
}

// RefusedSecret is a secret that is selected and not rotated.
type RefusedSecret struct {
	// path of the secret.
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`
	// reason is AccessDenied, Conflict or SecretMissing.
	Reason RefusalReason `json:"reason"`
	// message says what is missing and what to do.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
}

// RefusalReason says why a secret is not rotated.
//
// +kubebuilder:validation:Enum=AccessDenied;Conflict;SecretMissing
type RefusalReason string

// Reasons of a refusal.
const (
	// RefusedAccess: the ServiceAccount may not rotate it, or with mode Generate not write it.
	RefusedAccess RefusalReason = "AccessDenied"
	// RefusedConflict: another rotation policy rotates it.
	RefusedConflict RefusalReason = "Conflict"
	// RefusedMissing: the vault has no secret at the path.
	RefusedMissing RefusalReason = "SecretMissing"
)

// RotationConflict is a secret that two RotationSchedules select.
type RotationConflict struct {
	// path of the secret.
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`
	// with is the other object, as namespace/name.
	// +kubebuilder:validation:MaxLength=317
	With string `json:"with"`
	// rotatedBy is the one that rotates it, as namespace/name: the older of the two.
	// +kubebuilder:validation:MaxLength=317
	RotatedBy string `json:"rotatedBy"`
}

// RotationFailure is a rotation that failed.
type RotationFailure struct {
	// path of the secret.
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`
	// code of the vault.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Code string `json:"code,omitempty"`
	// message of the vault.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	Message string `json:"message,omitempty"`
	// attempts made so far.
	// +optional
	Attempts int32 `json:"attempts,omitempty"`
	// retryAt is when the vault tries again.
	// +optional
	RetryAt *metav1.Time `json:"retryAt,omitempty"`
}

// RotationProgress is how far a rotation has come.
type RotationProgress struct {
	// path of the secret.
	// +kubebuilder:validation:MaxLength=512
	Path string `json:"path"`
	// phase is New, Distributed, Rolled or Retired.
	Phase RotationPhase `json:"phase"`
	// version that the rotation made.
	// +optional
	Version int64 `json:"version,omitempty"`
	// oldVersion that it replaces.
	// +optional
	OldVersion int64 `json:"oldVersion,omitempty"`
	// rotatedAt is when the new version was made.
	// +optional
	RotatedAt *metav1.Time `json:"rotatedAt,omitempty"`
	// oldUntil is when the old version ends, or ended: the deadline as long as consumers are waited for.
	// +optional
	OldUntil *metav1.Time `json:"oldUntil,omitempty"`
	// waitingFor says what keeps it from the next phase.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	WaitingFor string `json:"waitingFor,omitempty"`
	// deadlinePassed tells that the old version ended before its consumers were seen to have the new one.
	// +optional
	DeadlinePassed bool `json:"deadlinePassed,omitempty"`
}

// RotationPhase is how far a rotation has come.
//
// +kubebuilder:validation:Enum=New;Distributed;Rolled;Retired
type RotationPhase string

// Phases of a rotation.
const (
	// PhaseNew: the new version is in the vault.
	PhaseNew RotationPhase = "New"
	// PhaseDistributed: every VaultSecret of this cluster that reads the secret has written it into its Secret.
	PhaseDistributed RotationPhase = "Distributed"
	// PhaseRolled: the workloads that use those Secrets run with it.
	PhaseRolled RotationPhase = "Rolled"
	// PhaseRetired: the old version is not readable any more.
	PhaseRetired RotationPhase = "Retired"
)

// ForcedRotation is a request to rotate now.
type ForcedRotation struct {
	// request is the value of scaivault.io/requestedAt.
	// +kubebuilder:validation:MaxLength=256
	Request string `json:"request"`
	// after is the newest rotation that there was when the request was first seen, by the vault's clock: what was
	// rotated later is done.
	// +optional
	After *metav1.Time `json:"after,omitempty"`
}

// RotationSchedule rotates secrets of the vault by a schedule, with the rights of a ServiceAccount of its namespace,
// and keeps the old version readable until the workloads of the cluster run with the new one.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:shortName=rotsched,categories=scaivault
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Secrets",type=integer,JSONPath=`.status.secrets`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Next",type=string,JSONPath=`.status.next`
// +kubebuilder:printcolumn:name="Last",type=date,JSONPath=`.status.last`
// +kubebuilder:printcolumn:name="Overdue",type=integer,JSONPath=`.status.overdue`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Refused",type=integer,priority=1,JSONPath=`.status.refusedCount`
// +kubebuilder:printcolumn:name="Rotating",type=integer,priority=1,JSONPath=`.status.rotating`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
// +kubebuilder:validation:XValidation:rule="size(self.metadata.name) <= 63",message="name must be at most 63 characters, it becomes part of the policy's name in the vault"
type RotationSchedule struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec RotationScheduleSpec `json:"spec"`
	// status is what the operator saw and did last.
	// +optional
	Status RotationScheduleStatus `json:"status,omitempty"`
}

// ObjectStatus returns the part of the status that every kind has.
func (s *RotationSchedule) ObjectStatus() *ObjectStatus { return &s.Status.ObjectStatus }

// ServiceAccount is the name of the ServiceAccount whose rights rotate.
func (s *RotationSchedule) ServiceAccount() string {
	if s.Spec.ServiceAccountName == "" {
		return "default"
	}
	return s.Spec.ServiceAccountName
}

// RotationScheduleList is a list of RotationSchedules.
//
// +kubebuilder:object:root=true
type RotationScheduleList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []RotationSchedule `json:"items"`
}
