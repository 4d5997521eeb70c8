package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

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
