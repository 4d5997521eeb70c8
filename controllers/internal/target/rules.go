package target

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// Rules limit what may be written, whatever an object asks for. The schema says the same to the user
// earlier; this is what holds.
type Rules struct {
	// ExtraTypes are allowed besides the five of Types.
	ExtraTypes []string
	// ForbiddenNamespaces are never written to: kube-system and the operator's own, unless allowed at start.
	ForbiddenNamespaces []string
}

// Types are the types that may be written.
func Types() []corev1.SecretType {
	return []corev1.SecretType{
		corev1.SecretTypeOpaque, corev1.SecretTypeTLS, corev1.SecretTypeDockerConfigJson,
		corev1.SecretTypeBasicAuth, corev1.SecretTypeSSHAuth,
	}
}

// neverTypes make Kubernetes or Helm act on a Secret, so no flag allows them (CVE-2026-42876: an operator
// that wrote one minted tokens for its users).
var neverTypes = regexp.MustCompile(`^(kubernetes\.io/service-account-token|bootstrap\.kubernetes\.io/token|helm\.sh/.*)$`)

// reservedPrefix matches labels and annotations that make others act: controllers of Kubernetes, Helm,
// Argo CD, the replicators that copy Secrets to other namespaces, and ourselves.
var reservedPrefix = regexp.MustCompile(`^([^/]*\.)?(kubernetes\.io|k8s\.io|helm\.sh|argoproj\.io|scaivault\.io|k8s\.emberstack\.com|mittwald\.de)/`)

var keyPattern = regexp.MustCompile(`^[-._a-zA-Z0-9]{1,253}$`)

// Where checks what does not depend on the values: type, names, namespace. It costs nothing and runs
// before anything is read.
func (r Rules) Where(d Desired) error {
	if slices.Contains(r.ForbiddenNamespaces, d.Owner.Namespace) {
		return invalid("Secrets in namespace %s are not written by this operator; use another namespace, or start the operator with --allow-namespace %s", d.Owner.Namespace, d.Owner.Namespace)
	}
	t := d.secretType()
	if neverTypes.MatchString(string(t)) {
		return invalid("type %s makes Kubernetes or Helm act on the Secret and is never written; choose another spec.target.type", t)
	}
	if !slices.Contains(Types(), t) && !slices.Contains(r.ExtraTypes, string(t)) {
		return invalid("type %s is not allowed; allowed are %s; the operator's flag --allow-secret-type adds others", t, typeList(r.ExtraTypes))
	}
	for _, names := range []map[string]string{d.Labels, d.Annotations} {
		for k := range names {
			if reservedPrefix.MatchString(k) {
				return invalid("label or annotation %s would make another controller act and is not allowed on a target; take it out of spec.target", k)
			}
		}
	}
	return nil
}

func typeList(extra []string) string {
	var out []string
	for _, t := range Types() {
		out = append(out, string(t))
	}
	return strings.Join(append(out, extra...), ", ")
}

func invalid(format string, args ...any) error {
	return reconcile.Stalled(v1alpha1.ReasonInvalidTarget, fmt.Errorf(format, args...))
}

// Content checks keys and sizes. Nothing is written unless everything can be.
func Content(d Desired) error {
	for _, k := range d.keys() {
		if !keyPattern.MatchString(k) || k == "." || strings.HasPrefix(k, "..") { // Kubernetes makes files of keys
			return badData(fmt.Errorf("key %q cannot be a key of a Secret: only letters, digits, -, . and _, at most 253, and neither . nor .. at its beginning; rename it with data or keyFormat, or exclude it", k))
		}
	}
	if total := d.size(); total > corev1.MaxSecretSize {
		return badData(fmt.Errorf("the content is %d bytes and a Secret holds at most %d; largest keys: %s; exclude some, or use several VaultSecrets", total, corev1.MaxSecretSize, largest(d)))
	}
	if len(d.Data) == 0 {
		return badData(errors.New("no key would be written; a Secret is never emptied: check data, include and exclude"))
	}
	return nil
}

// room checks the size of a Shared Secret that holds some bytes besides ours.
func room(d Desired, beside int) error {
	if total := d.size(); total+beside > corev1.MaxSecretSize {
		return badData(fmt.Errorf("the content is %d bytes beside %d of others in Secret %s, and a Secret holds at most %d; largest keys: %s; exclude some, or use another target",
			total, beside, d.Name, corev1.MaxSecretSize, largest(d)))
	}
	return nil
}

// size is what keys and values take, in bytes.
func (d Desired) size() int {
	total := 0
	for k, v := range d.Data {
		total += len(k) + len(v)
	}
	return total
}

func badData(err error) error { return reconcile.Stalled(v1alpha1.ReasonInvalidData, err) }

// largest names the three largest keys with their sizes.
func largest(d Desired) string {
	keys := d.keys()
	slices.SortStableFunc(keys, func(a, b string) int { return len(d.Data[b]) - len(d.Data[a]) })
	var out []string
	for _, k := range keys[:min(3, len(keys))] {
		out = append(out, fmt.Sprintf("%s (%d bytes)", k, len(d.Data[k])))
	}
	return strings.Join(out, ", ")
}
