package events

import (
	"fmt"
	"slices"
	"strings"
)

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

// loud tells whether an event is made only for those who name it: each read of a secret is one, and each refusal.
// To be asked for by accident would make every read a write.
func loud(event string) bool { return event == Accessed || event == Violation }

// Events that are made only when somebody names them.
const (
	Accessed  = "secret.accessed"
	Violation = "policy.violation"
)

// Selects tells whether one of the entries of a webhook or a subscription names an event: by its name, or all below
// `prefix.*`, or all by `*`. The loud events are only selected by their names.
func Selects(entries []string, event string) bool {
	return slices.ContainsFunc(entries, func(entry string) bool { return selects(entry, event) })
}

func selects(entry, event string) bool {
	if prefix, ok := strings.CutSuffix(entry, "*"); ok {
		return strings.HasPrefix(event, prefix) && !loud(event)
	}
	return entry == event
}

// known tells whether entry is the name of an event, `*`, or `prefix.*` with at least one event below.
func known(entry string) bool {
	if prefix, ok := strings.CutSuffix(entry, "*"); ok && prefix != "" && !strings.HasSuffix(prefix, ".") {
		return false
	}
	return slices.ContainsFunc(catalogue(), func(name string) bool { return selects(entry, name) })
}

// CheckSelection notes in broken what is wrong with the entries of a webhook or a subscription, by field.
func CheckSelection(entries []string, broken map[string]string) {
	if len(entries) > maxEventNames {
		broken["events"] = fmt.Sprintf("has at most %d entries", maxEventNames)
		return
	}
	for i, name := range entries {
		if !known(name) {
			broken[fmt.Sprintf("events[%d]", i)] = "is no event: give a name of the catalogue or all below a prefix, such as secret.*"
		}
	}
}
