// Package secretpolicies keeps recipes for the values of secrets (contract section 7, OC-7), makes values by them
// for other domains, and shows what a recipe makes without storing it.
//
// A recipe is sealed at rest, since its static values are somebody's values; they are in the answer about one
// policy and in what is generated, and nowhere else: not in lists, the audit trail, events, logs or errors. What is
// generated leaves this package only in a generate.Result or vaultapi.Values, neither of which prints.
package secretpolicies
