package events

import "strings"

// catalogue names every event (contract sections 12.4, 22 OC-33 and 25).
func catalogue() []string {
	return []string{
		"secret.created", "secret.updated", "secret.deleted", "secret.restored", "secret.metadata_updated",
		"secret.rotated", "secret.expiring", "secret.expired", "secret.accessed",
		"policy.created", "policy.updated", "policy.deleted", "policy.binding.created", "policy.binding.deleted",
		"policy.violation",
		"rotation.due", "rotation.overdue", "rotation.completed", "rotation.failed",
		"certificate.issued", "certificate.renewed", "certificate.revoked", "certificate.expiring",
		"dynamic.lease.created", "dynamic.lease.renewed", "dynamic.lease.revoked", "dynamic.lease.expired",
		"dynamic.lease.revocation_failed",
	}
}

// selects tells whether a subscription's entry names an event: by its name, or all below `prefix.*`.
func selects(entry, event string) bool {
	if prefix, ok := strings.CutSuffix(entry, "*"); ok {
		return strings.HasPrefix(event, prefix)
	}
	return entry == event
}

// known tells whether entry is the name of an event, `*`, or `prefix.*` with at least one event below.
func known(entry string) bool {
	if prefix, ok := strings.CutSuffix(entry, "*"); ok && prefix != "" && !strings.HasSuffix(prefix, ".") {
		return false
	}
	for _, name := range catalogue() {
		if selects(entry, name) {
			return true
		}
	}
	return false
}
