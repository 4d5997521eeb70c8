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
