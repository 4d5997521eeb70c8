package v1alpha1

// Condition types. They follow kstatus, so that kubectl wait, Flux and Argo CD understand them:
// Reconciling and Stalled are present only while they are true.
const (
	// ConditionReady is true when the outside agrees with the spec of the observed generation.
	ConditionReady = "Ready"
	// ConditionReconciling is true while the operator still works on it or will try again by itself.
	ConditionReconciling = "Reconciling"
	// ConditionStalled is true when somebody has to change something: this object, a policy, the vault.
	// A stalled object is not retried with a back-off; it runs again on its own change, on a vault event
	// that names one of its paths, on any policy change, on a change of its ServiceAccount, and at refreshInterval.
	ConditionStalled = "Stalled"
)

// Reasons of success.
const (
	// ReasonSynced: the Kubernetes Secret holds what the vault holds (VaultSecret).
	ReasonSynced = "Synced"
	// ReasonApplied: the policy and its bindings are in the vault (VaultPolicy).
	ReasonApplied = "Applied"
	// ReasonScheduled: every selected secret is rotated by the schedule (RotationSchedule).
	ReasonScheduled = "Scheduled"
	// ReasonIssuing: the role exists, its authority is valid, and the ServiceAccount, where the issuer has one, may issue
	// by it (PKIIssuer, ClusterPKIIssuer).
	ReasonIssuing = "Issuing"
)

// Reasons of Stalled: a person has to act.
const (
	// ReasonAccessDenied: the ServiceAccount may not read one of the paths, and the Kubernetes Secret is kept; or it may
	// not issue by the role.
	ReasonAccessDenied = "AccessDenied"
	// ReasonConflict: the target exists and is not ours, others hold keys of it (status.conflicts), or another
	// owner holds the name in the vault.
	ReasonConflict = "Conflict"
	// ReasonInvalidTarget: the target is not allowed: its type, a label or annotation, or its namespace.
	ReasonInvalidTarget = "InvalidTarget"
	// ReasonInvalidData: the keys cannot be written: bad key, one key from two sources, not Base64, too large.
	ReasonInvalidData = "InvalidData"
	// ReasonInvalidTemplate: a template does not parse, fails, or exceeds a limit.
	ReasonInvalidTemplate = "InvalidTemplate"
	// ReasonInvalidPolicy: the vault refused the policy as written.
	ReasonInvalidPolicy = "InvalidPolicy"
	// ReasonInvalidSpec: a field that the schema cannot judge is wrong, such as an unknown duration.
	ReasonInvalidSpec = "InvalidSpec"
	// ReasonFieldMissing: the secret exists but lacks a field that is not optional.
	ReasonFieldMissing = "FieldMissing"
	// ReasonTooManySecrets: the prefixes of the sources cover more secrets than one object may read.
	ReasonTooManySecrets = "TooManySecrets"
	// ReasonRotationOverdue: the time of a rotation has passed, and nobody wrote the new version.
	ReasonRotationOverdue = "RotationOverdue"
	// ReasonConsumersNotRolled: an old version ended at the deadline, and not everything in the cluster was seen to
	// run with the new one.
	ReasonConsumersNotRolled = "ConsumersNotRolled"
	// ReasonRoleMissing: the vault has no role of that name.
	ReasonRoleMissing = "RoleMissing"
	// ReasonAuthorityInactive: the authority of the role is revoked or has expired.
	ReasonAuthorityInactive = "AuthorityInactive"
	// ReasonVaultReplaced: another vault, or an older state of this one, answers at the address.
	// Nothing is written or deleted until "scaivault-operator accept-vault".
	ReasonVaultReplaced = "VaultReplaced"
)

// Reasons of Reconciling: the operator goes on by itself.
const (
	// ReasonSecretMissing: the vault has no secret at a path. See spec.whenSourceMissing.
	ReasonSecretMissing = "SecretMissing"
	// ReasonServiceAccountMissing: the ServiceAccount whose rights are to be used does not exist.
	ReasonServiceAccountMissing = "ServiceAccountMissing"
	// ReasonVaultUnavailable: the vault does not answer, or answers that it cannot serve.
	ReasonVaultUnavailable = "VaultUnavailable"
	// ReasonRestartFailed: the Secret is in order, but a workload that has to be restarted could not be.
	ReasonRestartFailed = "RestartFailed"
	// ReasonRotationFailed: the vault could not rotate a secret; it tries again by itself.
	ReasonRotationFailed = "RotationFailed"
	// ReasonRetrying: an unexpected error; the operator retries with a growing delay.
	ReasonRetrying = "Retrying"
)

// Names that the operator puts on objects.
const (
	// LabelManaged marks the Secrets that the operator writes; its watch is filtered by it.
	LabelManaged = "scaivault.io/managed"
	// AnnotationAdopt on an existing Secret names the VaultSecret of its namespace that may take it over; one whose
	// target is Shared takes only the keys that it writes, once.
	AnnotationAdopt = "scaivault.io/adopt"
	// AnnotationKeysPrefix, with a short hash of a field manager, names the annotation of a Shared Secret in which
	// that field manager's keys are listed, after retain: where they stay when the object goes.
	AnnotationKeysPrefix = "scaivault.io/keys."
	// AnnotationMade marks a Shared Secret that the operator made: it goes with the last key if nobody else has one.
	AnnotationMade = "scaivault.io/made"
	// AnnotationRequestedAt on a resource means "do it now"; the value is echoed in status.lastHandledRequest.
	AnnotationRequestedAt = "scaivault.io/requestedAt"
	// AnnotationRestart begins the annotations of a pod template that say which content of which object its pods
	// were started for: scaivault.io/restart.<kind>.<name>, hashed where that is too long.
	AnnotationRestart = "scaivault.io/restart."
	// AnnotationRefreshedAt on a pod makes its kubelet look at the mounted Secrets now.
	AnnotationRefreshedAt = "scaivault.io/refreshedAt"
)

// StatusListLimit is the greatest length of any list in a status; a count beside it tells the whole.
const StatusListLimit = 50
