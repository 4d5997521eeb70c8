package policy

import (
	"errors"
	"fmt"
)

// permissions is a set of Permission.
type permissions uint8

const (
	canRead permissions = 1 << iota
	canWrite
	canDelete
	canList
	canRotate
	canAdmin
	canIssue
	canGenerate
)

// bit returns 0 for what is no permission.
func (p Permission) bit() permissions {
	switch p {
	case Read:
		return canRead
	case Write:
		return canWrite
	case Delete:
		return canDelete
	case List:
		return canList
	case Rotate:
		return canRotate
	case Admin:
		return canAdmin
	case Issue:
		return canIssue
	case Generate:
		return canGenerate
	}
	return 0
}

// all returns the permissions that a class knows; admin stands for all of them.
func (c Class) all() permissions {
	switch c {
	case ClassSecrets, ClassPartner:
		return canRead | canWrite | canDelete | canList | canRotate | canAdmin
	case ClassPKI:
		return canIssue | canAdmin
	case ClassDynamic:
		return canGenerate | canAdmin
	}
	return 0
}

func (c Class) name() string {
	if c == ClassSecrets {
		return "secrets"
	}
	return string(c)
}

// grant turns the permissions of a rule into a set; the field is that of the one that does not fit.
func grant(class Class, list []Permission) (granted permissions, field string, err error) {
	if len(list) == 0 {
		return 0, "permissions", errors.New("at least one permission is needed")
	}
	for i, p := range list {
		field := fmt.Sprintf("permissions[%d]", i)
		switch bit := p.bit(); {
		case bit == 0:
			return 0, field, fmt.Errorf("%.32q is not a permission", string(p))
		case bit&class.all() == 0:
			return 0, field, fmt.Errorf("permission %s does not fit class %s", p, class.name())
		default:
			granted |= bit
		}
	}
	if granted&canAdmin != 0 {
		granted = class.all()
	}
	return granted, "", nil
}
