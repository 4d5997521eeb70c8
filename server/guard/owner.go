package guard

import (
	"regexp"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
)

const maxOwner = 512

var printable = regexp.MustCompile(`^[!-~]+$`)

// Owned is an object that may have an owner: the Kubernetes object that it was made for (contract section 25).
type Owned struct {
	What     string // such as policy
	Name, ID string
	Key      string // of the id in an error's details, such as policy_id
	Owner    string // k8s:<cluster>/<kind>/<namespace>/<name>/<uid>; "": nobody's
}

// CheckOwner checks the owner of a new object, which may be empty. Errors: validation_error, forbidden.
func CheckOwner(who Caller, owner string) error {
	if owner == "" {
		return nil
	}
	if !isOwner(owner) {
		return fault.Validation(map[string]string{"owner": "must be k8s:<cluster>/<kind>/<namespace>/<name>/<uid>"})
	}
	return mayOwn(who, owner)
}

// CheckOwners checks leading parts of owners, such as k8s:home or k8s:home/Certificate: may the caller speak for all of
// them? Error: forbidden.
func CheckOwners(who Caller, parts string) error { return mayOwn(who, parts+"/") }

// isOwner reports whether s names a Kubernetes object; the namespace of a cluster-scoped one is empty.
func isOwner(s string) bool {
	rest, found := strings.CutPrefix(s, "k8s:")
	parts := strings.Split(rest, "/")
	if !found || len(parts) != 5 || len(s) > maxOwner || !printable.MatchString(s) {
		return false
	}
	for i, part := range parts {
		if part == "" && i != 2 {
			return false
		}
	}
	return true
}

// mayOwn reports whether who may speak for an owner: a workload of the owner's own cluster, or a
// super administrator.
func mayOwn(who Caller, owner string) error {
	if who.unbound() || who.Cluster != "" && strings.HasPrefix(owner, "k8s:"+who.Cluster+"/") {
		return nil
	}
	return fault.Forbidden(fault.CodeForbidden, "%s may not act for %s: only its own cluster may", who.ID, owner).With("owner", owner)
}

// MayEdit reports whether a call that names an owner, or none, may change an object: 409 managed_resource unless it
// is the object's own.
func (o Owned) MayEdit(who Caller, stated string) error {
	switch {
	case o.Owner == stated && stated == "":
		return nil
	case o.Owner == stated:
		return mayOwn(who, stated)
	case o.Owner == "":
		return fault.Conflict(fault.CodeManagedResource, "%s %s has no owner: it was not made by %s", o.What, o.Name, stated).With(o.Key, o.ID)
	default:
		return fault.Conflict(fault.CodeManagedResource, "%s %s is managed by %s: change it there", o.What, o.Name, o.Owner).
			With(o.Key, o.ID).With("owner", o.Owner)
	}
}
