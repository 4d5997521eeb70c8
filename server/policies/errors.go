package policies

import (
	"github.com/scailabs/scaivault/server/fault"
)

func policyNotFound(ref string) error {
	return fault.NotFound(fault.CodePolicyNotFound, "there is no policy %.128q", ref)
}

func bindingNotFound(id, policyName string) error {
	return fault.NotFound(fault.CodeBindingNotFound, "policy %s has no binding %.128q", policyName, id)
}

func policyExists(known record) error {
	f := fault.Conflict(fault.CodePolicyExists, "there is a policy %s already", known.Name).With("name", known.Name)
	if known.ID != "" {
		f = f.With("policy_id", known.ID)
	}
	if known.Owner != "" {
		f = f.With("owner", known.Owner)
	}
	return f
}

func invalidQuery(field, format string, args ...any) error {
	return fault.Invalid(fault.CodeInvalidRequest, format, args...).With("field", field)
}

// unread is the answer when the database could not be asked; faults stand as they are.
func unread(err error) error {
	if err == nil || fault.Code(err) != fault.CodeInternal {
		return err
	}
	return fault.Unavailable(err, "policies cannot be read now")
}
