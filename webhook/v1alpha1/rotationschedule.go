package v1alpha1

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	api "github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/rotationschedule"
)

// rotationValidator judges RotationSchedules.
type rotationValidator struct{ now func() time.Time }

// ValidateCreate judges a new object.
func (v rotationValidator) ValidateCreate(_ context.Context, s *api.RotationSchedule) (admission.Warnings, error) {
	return rotationWarnings(&s.Spec), invalid("RotationSchedule", s.Name, v.check(s))
}

// ValidateUpdate judges a changed spec.
func (v rotationValidator) ValidateUpdate(_ context.Context, was, s *api.RotationSchedule) (admission.Warnings, error) {
	if !specChanged(s, was.Spec, s.Spec) {
		return nil, nil
	}
	return rotationWarnings(&s.Spec), invalid("RotationSchedule", s.Name, added(v.check(was), v.check(s)))
}

// ValidateDelete lets every delete pass.
func (rotationValidator) ValidateDelete(context.Context, *api.RotationSchedule) (admission.Warnings, error) {
	return nil, nil
}

func (v rotationValidator) check(s *api.RotationSchedule) field.ErrorList {
	return rotationschedule.Check(&s.Spec, v.now())
}

// rotationWarnings says what does not do what a reader may think.
func rotationWarnings(spec *api.RotationScheduleSpec) admission.Warnings {
	if spec.Mode == api.RotationNotify && spec.Generate == nil && spec.WarnBefore == nil {
		return admission.Warnings{"spec.mode: with Notify somebody has to write the new version when the event rotation.due comes, and with no spec.warnBefore it does not come before the time"}
	}
	return nil
}
