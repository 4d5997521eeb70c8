package v1alpha1

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	api "github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/policy"
)

// policyValidator judges VaultPolicies.
type policyValidator struct{}

// ValidateCreate judges a new object.
func (policyValidator) ValidateCreate(_ context.Context, p *api.VaultPolicy) (admission.Warnings, error) {
	return policyWarnings(&p.Spec), invalid("VaultPolicy", p.Name, checkPolicy(&p.Spec))
}

// ValidateUpdate judges a changed spec.
func (policyValidator) ValidateUpdate(_ context.Context, was, p *api.VaultPolicy) (admission.Warnings, error) {
	if !specChanged(p, was.Spec, p.Spec) {
		return nil, nil
	}
	return policyWarnings(&p.Spec), invalid("VaultPolicy", p.Name, added(checkPolicy(&was.Spec), checkPolicy(&p.Spec)))
}

// ValidateDelete lets every delete pass.
func (policyValidator) ValidateDelete(context.Context, *api.VaultPolicy) (admission.Warnings, error) {
	return nil, nil
}

// checkPolicy lists what is wrong with a spec beyond its schema.
func checkPolicy(spec *api.VaultPolicySpec) field.ErrorList {
	var wrong field.ErrorList
	for i := range spec.Rules {
		wrong = append(wrong, checkRule(field.NewPath("spec", "rules").Index(i), &spec.Rules[i])...)
	}
	for i, u := range spec.Subjects {
		if _, err := metav1.LabelSelectorAsSelector(u.NamespaceSelector); err != nil {
			at := field.NewPath("spec", "subjects").Index(i).Child("namespaceSelector")
			wrong = append(wrong, field.Invalid(at, field.OmitValueType{}, err.Error()))
		}
	}
	return wrong
}

func checkRule(at *field.Path, r *api.PolicyRule) field.ErrorList {
	var wrong field.ErrorList
	for i, text := range r.Paths {
		where := at.Child("paths").Index(i)
		pattern, err := policy.ParsePattern(string(text))
		if err != nil {
			wrong = append(wrong, field.Invalid(where, field.OmitValueType{}, err.Error()))
			continue
		}
		for _, p := range r.Permissions {
			if !pattern.Class().Fits(policy.Permission(p)) {
				wrong = append(wrong, field.Invalid(where, string(text), fmt.Sprintf("permission %s does not fit a path of %s", p, className(pattern.Class()))))
			}
		}
	}
	return append(wrong, checkConditions(at.Child("when"), r.When)...)
}

func className(c policy.Class) string {
	if c == policy.ClassSecrets {
		return "secrets"
	}
	return "class " + string(c)
}

func checkConditions(at *field.Path, w *api.PolicyConditions) field.ErrorList {
	if w == nil {
		return nil
	}
	var wrong field.ErrorList
	for i, text := range w.IPRanges {
		if _, err := policy.ParseIPRange(text); err != nil {
			wrong = append(wrong, field.Invalid(at.Child("ipRanges").Index(i), field.OmitValueType{}, err.Error()))
		}
	}
	if w.TimeWindow == nil {
		return wrong
	}
	var days []string
	for _, d := range w.TimeWindow.Days {
		days = append(days, string(d))
	}
	if _, err := policy.NewTimeWindow(days, w.TimeWindow.Start, w.TimeWindow.End, w.TimeWindow.TimeZone); err != nil {
		wrong = append(wrong, field.Invalid(at.Child("timeWindow"), field.OmitValueType{}, err.Error()))
	}
	return wrong
}

// policyWarnings says which rules do not mean what a reader may think: conditions on the network and on a
// second factor are judged on the caller, and for a synced Secret that is the operator.
func policyWarnings(spec *api.VaultPolicySpec) admission.Warnings {
	accounts := false
	for _, u := range spec.Subjects {
		accounts = accounts || u.Kind != api.SubjectIdentity || u.Type == api.IdentityServiceAccount
	}
	var rules []string
	for i, r := range spec.Rules {
		if r.When != nil && (len(r.When.IPRanges) > 0 || r.When.MFA == api.MFARequired) {
			rules = append(rules, strconv.Itoa(i))
		}
	}
	if !accounts || len(rules) == 0 {
		return nil
	}
	return admission.Warnings{fmt.Sprintf(
		"spec.rules[%s].when: for a ServiceAccount's VaultSecret, ipRanges and mfa are judged on the operator, not on the pod", strings.Join(rules, ","))}
}
