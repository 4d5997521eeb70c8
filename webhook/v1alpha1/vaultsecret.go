package v1alpha1

import (
	"context"
	"fmt"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	logf "sigs.k8s.io/controller-runtime/pkg/log"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	api "github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/internal/schedule"
)

// indexTarget is the index of VaultSecrets by the name of the Secret that they write: one of our own, because the
// controller in the same process has its own.
const indexTarget = "admission/target"

// lister lists objects; the manager's cached client fits.
type lister interface {
	List(ctx context.Context, list client.ObjectList, opts ...client.ListOption) error
}

// secretValidator judges VaultSecrets.
type secretValidator struct{ secrets lister }

// ValidateCreate judges a new object.
func (v secretValidator) ValidateCreate(ctx context.Context, s *api.VaultSecret) (admission.Warnings, error) {
	rival, warnings := v.claim(ctx, s)
	return warnings, invalid("VaultSecret", s.Name, append(checkSecret(&s.Spec), rival...))
}

// ValidateUpdate judges a changed spec. A target that it had before may stay, so that two objects that
// came to claim one target can both still be edited, and one after the other become Shared.
func (v secretValidator) ValidateUpdate(ctx context.Context, was, s *api.VaultSecret) (admission.Warnings, error) {
	if !specChanged(s, was.Spec, s.Spec) {
		return nil, nil
	}
	wrong := added(checkSecret(&was.Spec), checkSecret(&s.Spec))
	if was.TargetName() == s.TargetName() && (s.Shared() || !was.Shared()) {
		return nil, invalid("VaultSecret", s.Name, wrong)
	}
	rival, warnings := v.claim(ctx, s)
	return warnings, invalid("VaultSecret", s.Name, append(wrong, rival...))
}

// ValidateDelete lets every delete pass.
func (secretValidator) ValidateDelete(context.Context, *api.VaultSecret) (admission.Warnings, error) {
	return nil, nil
}

// checkSecret lists what is wrong with a spec beyond its schema. Errors do not repeat templates: those may
// be long and hold what nobody wants in an audit log.
func checkSecret(spec *api.VaultSecretSpec) field.ErrorList {
	var wrong field.ErrorList
	for _, d := range spec.Data {
		if d.Template == "" {
			continue
		}
		if err := controllers.CheckTemplate(d.Template); err != nil {
			at := field.NewPath("spec", "data").Key(d.Key).Child("template")
			wrong = append(wrong, field.Invalid(at, field.OmitValueType{}, err.Error()))
		}
	}
	if text := string(spec.RefreshInterval); text != "" {
		if _, err := schedule.ParseDuration(text); err != nil {
			wrong = append(wrong, field.Invalid(field.NewPath("spec", "refreshInterval"), field.OmitValueType{}, err.Error()))
		}
	}
	return wrong
}

// claim refuses a target that another VaultSecret has. When that cannot be found out it only warns: the
// operator never writes to a Secret that another object made.
func (v secretValidator) claim(ctx context.Context, s *api.VaultSecret) (field.ErrorList, admission.Warnings) {
	var all api.VaultSecretList
	err := v.secrets.List(ctx, &all, client.InNamespace(s.Namespace), client.MatchingFields{indexTarget: s.TargetName()})
	if err != nil {
		logf.FromContext(ctx).Info("VaultSecrets of one target were not compared", "cause", err.Error())
		return nil, admission.Warnings{"it was not checked whether another VaultSecret writes Secret " + s.TargetName()}
	}
	other := rival(s, all.Items)
	if other == nil {
		return nil, nil
	}
	at := field.NewPath("spec", "target", "name")
	return field.ErrorList{field.Invalid(at, s.TargetName(), fmt.Sprintf(
		"VaultSecret %s of this namespace writes this Secret already; choose another spec.target.name, or set spec.target.mode to Shared in both", other.Name))}, nil
}

// rival returns an object besides s that claims the target of s and cannot share it with s, nil if there is none.
// One that is being deleted lets go of its target.
func rival(s *api.VaultSecret, all []api.VaultSecret) *api.VaultSecret {
	for i := range all {
		o := &all[i]
		same := o.Namespace == s.Namespace && o.Name != s.Name && o.TargetName() == s.TargetName()
		if same && o.DeletionTimestamp == nil && !(o.Shared() && s.Shared()) {
			return o
		}
	}
	return nil
}
