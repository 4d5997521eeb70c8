package policy

import (
	"fmt"
	"strings"
)

// ParsePath reads `[class:]path`, as who-can and policies/test take it. A path of a secret has the
// characters of contract section 3.2; names in the other classes may hold a dot too.
func ParsePath(s string) (Class, string, error) {
	class, path := ClassSecrets, s
	if prefix, rest, found := strings.Cut(s, ":"); found {
		class, path = Class(prefix), rest
		if class == ClassSecrets || class.all() == 0 {
			return "", "", fmt.Errorf("the class %.16q is not pki, dynamic or partner", prefix)
		}
	}
	dotted := strings.Contains(path, ".") && (class == ClassSecrets || class == ClassPartner)
	if _, ok := splitPath(path); !ok || dotted {
		return "", "", fmt.Errorf("a path has 1 to %d segments of a-z, 0-9, - and _, parted by single /, and at most %d characters", MaxDepth, MaxLength)
	}
	return class, path, nil
}

// Fits reports whether a permission belongs to a class (contract section 25).
func (c Class) Fits(p Permission) bool { return p.bit()&c.all() != 0 }

// Permissions lists what a class knows.
func (c Class) Permissions() []Permission {
	var known []Permission
	for _, p := range []Permission{Read, Write, Delete, List, Rotate, Issue, Generate, Admin} {
		if c.Fits(p) {
			known = append(known, p)
		}
	}
	return known
}

// NamespaceOf returns the Kubernetes namespace that the identity of a ServiceAccount names:
// sa:<namespace>:<name> or sa:<cluster>:<namespace>:<name>. Of an alias such as sa:<name>, and of
// anything else, it returns "".
func NamespaceOf(identityID string) string {
	name, found := strings.CutPrefix(identityID, "sa:")
	if !found {
		return ""
	}
	switch parts := strings.Split(name, ":"); len(parts) {
	case 2:
		return literalNamespace(parts[0])
	case 3:
		return literalNamespace(parts[1])
	default:
		return ""
	}
}
