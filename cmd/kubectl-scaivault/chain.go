package main

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Results of a check.
const (
	resultOK      = "ok"
	resultBlocks  = "blocks"
	resultUnknown = "unknown"
)

// Links of the chain from a VaultSecret to its Secret and the pods, in the order in which the operator walks it.
const (
	linkOperator = "operator"
	linkSpec     = "spec"
	linkVault    = "vault"
	linkAccount  = "service account"
	linkIdentity = "identity"
	linkPolicy   = "policy"
	linkSource   = "source"
	linkContent  = "content"
	linkTarget   = "target"
	linkPods     = "pods"
)

// check is one link and what was seen of it.
type check struct {
	Link   string `json:"link"`
	Result string `json:"result"`
	Detail string `json:"detail,omitempty"`
	Next   string `json:"next,omitempty"`
}

// links lists the chain, with nothing seen yet.
func links() []check {
	var all []check
	for _, l := range []string{linkOperator, linkSpec, linkVault, linkAccount, linkIdentity, linkPolicy, linkSource, linkContent, linkTarget, linkPods} {
		all = append(all, check{Link: l, Result: resultUnknown})
	}
	return all
}

// linkOf says at which link a reason of the operator stops.
func linkOf(reason string) string {
	switch reason {
	case v1alpha1.ReasonInvalidSpec:
		return linkSpec
	case v1alpha1.ReasonVaultReplaced, v1alpha1.ReasonVaultUnavailable:
		return linkVault
	case v1alpha1.ReasonServiceAccountMissing:
		return linkAccount
	case v1alpha1.ReasonAccessDenied:
		return linkPolicy
	case v1alpha1.ReasonSecretMissing, v1alpha1.ReasonTooManySecrets:
		return linkSource
	case v1alpha1.ReasonInvalidTemplate, v1alpha1.ReasonInvalidData, v1alpha1.ReasonFieldMissing:
		return linkContent
	case v1alpha1.ReasonInvalidTarget, v1alpha1.ReasonConflict:
		return linkTarget
	case v1alpha1.ReasonRestartFailed:
		return linkPods
	}
	return linkOperator
}

// passed is the link that the operator did not get past, as far as a reason tells: one denial covers identity
// and policy, and of what only repeats nothing is known.
func passed(reason string) string {
	if l := linkOf(reason); l != linkPolicy {
		return l
	}
	return linkIdentity
}

// conclude puts together what was seen and what the operator says: it fills in links that nobody could look at,
// and finds the one that blocks. name is for the next step.
func conclude(seen []check, s state, sync string) ([]check, *check) {
	all := slices.Clone(seen)
	at := func(link string) int { return slices.IndexFunc(all, func(c check) bool { return c.Link == link }) }
	if !s.Blocked {
		reached(all, "the operator got past it")
		return all, first(all)
	}
	reached(all[:at(passed(s.Reason))], "the operator got past it")
	stop := &all[at(linkOf(s.Reason))]
	if stop.Result == resultUnknown {
		*stop = check{Link: stop.Link, Result: resultBlocks, Detail: joined(stop.Detail, s.Message), Next: s.Next}
	}
	if b := first(all); b != nil {
		return all, b
	}
	return all, &check{
		Link: stop.Link, Result: resultBlocks, Next: "have it look again: " + sync,
		Detail: fmt.Sprintf("%s now, but when the operator looked last it said %s: %s", cmp.Or(stop.Detail, "nothing is wrong"), s.Reason, s.Message),
	}
}

// reached marks links that were not looked at as good.
func reached(part []check, why string) {
	for i := range part {
		if part[i].Result == resultUnknown {
			part[i].Result, part[i].Detail = resultOK, joined(part[i].Detail, why)
		}
	}
}

// first is the first link that blocks, nil if none does.
func first(all []check) *check {
	for i := range all {
		if all[i].Result == resultBlocks {
			return &all[i]
		}
	}
	return nil
}

func joined(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "; " + b
}
