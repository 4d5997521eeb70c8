package main

import (
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// acceptCommand tells the operator that the vault which answers is meant.
const acceptCommand = "kubectl -n scaivault-system exec deploy/scaivault-operator -- scaivault-operator accept-vault --vault-ca-file /var/run/scaivault/ca/ca.crt"

// nextStep is what a person does about a reason, "" where there is nothing to do.
func nextStep(o object, reason string) string {
	own := policySteps()
	switch o := o.(type) {
	case *v1alpha1.VaultSecret:
		own = secretSteps(o)
	case *v1alpha1.RotationSchedule:
		own = rotationSteps(o)
	case *v1alpha1.PKIIssuer:
		own = issuerSteps(&o.Spec.IssuerTerms, account{o.Namespace, o.ServiceAccount(), "set spec.serviceAccountName"})
	case *v1alpha1.ClusterPKIIssuer:
		own = issuerSteps(&o.Spec.IssuerTerms, accountOf(o))
	}
	if step, ok := own[reason]; ok {
		return step
	}
	return commonSteps()[reason]
}

// commonSteps are those that do not depend on the kind.
func commonSteps() map[string]string {
	return map[string]string{
		reasonUnseen:                    "see whether the operator runs and serves this namespace: kubectl -n scaivault-system get deployment scaivault-operator",
		reasonBehind:                    "wait a moment; if it stays so, see whether the operator runs: kubectl -n scaivault-system get deployment scaivault-operator",
		reasonSuspended:                 "set spec.suspend to false when it is to go on",
		v1alpha1.ReasonInvalidSpec:      "correct the field that the message names",
		v1alpha1.ReasonVaultReplaced:    "find out why another vault answers; if it is meant: " + acceptCommand,
		v1alpha1.ReasonVaultUnavailable: "see whether the vault runs: kubectl -n scaivault-system get pods; the operator tries again by itself",
		v1alpha1.ReasonRetrying:         "nothing yet: the operator tries again by itself; if it stays so, read its log: kubectl -n scaivault-system logs deploy/scaivault-operator",
	}
}

// secretSteps are those for a VaultSecret.
func secretSteps(v *v1alpha1.VaultSecret) map[string]string {
	try := "; kubectl scaivault render -f FILE tries it without a cluster"
	return map[string]string{
		v1alpha1.ReasonAccessDenied:          fmt.Sprintf("kubectl scaivault why %s -n %s tells which policy comes nearest; %s", v.Name, v.Namespace, allowStep(v)),
		v1alpha1.ReasonConflict:              conflictStep(v),
		v1alpha1.ReasonRestartFailed:         "see what keeps the workload that the message names from being changed, such as an admission policy or a quota; the operator tries again by itself",
		v1alpha1.ReasonInvalidTarget:         "correct spec.target as the message says, or use another namespace",
		v1alpha1.ReasonInvalidData:           "correct spec.data or spec.dataFrom as the message says" + try,
		v1alpha1.ReasonInvalidTemplate:       "correct the template of the key that the message names" + try,
		v1alpha1.ReasonFieldMissing:          "write the field into the vault, or set optional on the key",
		v1alpha1.ReasonTooManySecrets:        "use longer prefixes in spec.sources, or several VaultSecrets",
		v1alpha1.ReasonSecretMissing:         "write it: scaivault secrets write PATH FIELD=VALUE; or correct the path in spec.sources. The operator notices at once",
		v1alpha1.ReasonServiceAccountMissing: fmt.Sprintf("create it: kubectl -n %s create serviceaccount %s; or set spec.serviceAccountName", v.Namespace, v.ServiceAccount()),
	}
}

// conflictStep is how to get what somebody else holds.
func conflictStep(v *v1alpha1.VaultSecret) string {
	adopt := fmt.Sprintf("kubectl -n %s annotate secret %s %s=%s", v.Namespace, v.TargetName(), v1alpha1.AnnotationAdopt, v.Name)
	if v.Shared() {
		return "leave the keys of status.conflicts out, delete them from the Secret, or take them over: " + adopt
	}
	return "hand the Secret over: " + adopt + "; or set another spec.target.name"
}

// allowStep is how somebody who may write VaultPolicies lets a VaultSecret read.
func allowStep(v *v1alpha1.VaultSecret) string {
	what := "read"
	if slices.ContainsFunc(v.Spec.Sources, func(s v1alpha1.Source) bool { return s.PathPrefix != "" }) {
		what = "list and read"
	}
	return fmt.Sprintf("let a VaultPolicy name ServiceAccount %s of namespace %s as a subject and allow %s on patterns that cover spec.sources", v.ServiceAccount(), v.Namespace, what)
}

// rotationSteps are those for a RotationSchedule.
func rotationSteps(r *v1alpha1.RotationSchedule) map[string]string {
	rights := "rotate"
	if r.Spec.Mode == v1alpha1.RotationGenerate {
		rights = "rotate and write"
	}
	see := fmt.Sprintf("kubectl -n %s get rotationschedule %s -o yaml", r.Namespace, r.Name)
	return map[string]string{
		v1alpha1.ReasonAccessDenied:          fmt.Sprintf("let a VaultPolicy name ServiceAccount %s of namespace %s as a subject and allow %s on the paths of status.refused", r.ServiceAccount(), r.Namespace, rights),
		v1alpha1.ReasonConflict:              "take the secrets of status.refused and status.conflicts out of one of the two: " + see,
		v1alpha1.ReasonTooManySecrets:        "use a narrower spec.secrets.pathPattern, or several RotationSchedules",
		v1alpha1.ReasonRotationOverdue:       "write the new version: scaivault secrets write PATH FIELD=VALUE; which are late tells: scaivault rotation due",
		v1alpha1.ReasonConsumersNotRolled:    "restart what status.rotations[].waitingFor names, or see why it does not come up: " + see,
		v1alpha1.ReasonRotationFailed:        "see status.failures: " + see + "; the vault tries again by itself",
		v1alpha1.ReasonSecretMissing:         "write it: scaivault secrets write PATH FIELD=VALUE; or correct spec.secrets.paths. The operator notices at once",
		v1alpha1.ReasonServiceAccountMissing: fmt.Sprintf("create it: kubectl -n %s create serviceaccount %s; or set spec.serviceAccountName", r.Namespace, r.ServiceAccount()),
	}
}

// account is the ServiceAccount of an issuer, and how it is given another.
type account struct{ namespace, name, instead string }

func accountOf(c *v1alpha1.ClusterPKIIssuer) account {
	ref := c.Spec.Identity.ServiceAccountRef
	if ref == nil {
		ref = &v1alpha1.ServiceAccountReference{}
	}
	return account{ref.Namespace, ref.Name, "correct spec.identity.serviceAccountRef"}
}

// issuerSteps are those for a PKIIssuer and a ClusterPKIIssuer.
func issuerSteps(terms *v1alpha1.IssuerTerms, a account) map[string]string {
	return map[string]string{
		v1alpha1.ReasonAccessDenied:          fmt.Sprintf("let a VaultPolicy name ServiceAccount %s of namespace %s as a subject and allow issue on pki:%s", a.name, a.namespace, terms.Role),
		v1alpha1.ReasonRoleMissing:           "create the role " + terms.Role + ": scaivault pki --help; or correct spec.role",
		v1alpha1.ReasonAuthorityInactive:     "give the role " + terms.Role + " an authority that is neither revoked nor expired: scaivault pki --help",
		v1alpha1.ReasonServiceAccountMissing: fmt.Sprintf("create it: kubectl -n %s create serviceaccount %s; or %s", a.namespace, a.name, a.instead),
	}
}

// policySteps are those for a VaultPolicy.
func policySteps() map[string]string {
	return map[string]string{
		v1alpha1.ReasonAccessDenied:  "let the vault know the operator: start scaivault-server with --operator-service-account scaivault-system/scaivault-operator",
		v1alpha1.ReasonConflict:      "rename this VaultPolicy, or remove the policy of that name from the vault: scaivault policies list",
		v1alpha1.ReasonInvalidPolicy: "correct the rule that the message names",
	}
}
