package rotation

import "github.com/scailabs/scaivault/server/fault"

func policyNotFound(ref string) error {
	return fault.NotFound(fault.CodeRotationPolicyNotFound, "there is no rotation policy %.128q", ref)
}

func policyExists(name, id, owner string) error {
	f := fault.Conflict(fault.CodePolicyExists, "there is a rotation policy %s already", name).With("name", name)
	if id != "" {
		f = f.With("policy_id", id)
	}
	if owner != "" {
		f = f.With("owner", owner)
	}
	return f
}

func notAssigned(path, policyName string) error {
	return fault.NotFound(fault.CodeAssignmentNotFound, "%s is not under rotation policy %s", path, policyName).With("path", path)
}

func alreadyAssigned(path string, by policy) error {
	f := fault.Conflict(fault.CodeSecretAssigned, "%s is under rotation policy %s: detach it there first", path, by.name).
		With("path", path).With("policy_id", by.id)
	if by.owner != "" {
		f = f.With("owner", by.owner)
	}
	return f
}

// unread is the answer when the database could not be asked; faults stand as they are.
func unread(err error) error {
	if err == nil || fault.Code(err) != fault.CodeInternal {
		return err
	}
	return fault.Unavailable(err, "rotation cannot be read now")
}
