// Package policy decides whether a subject may do something to a path. It is pure: it parses
// patterns, matches them and decides, and it knows neither storage nor HTTP, so that the server,
// the admission webhook and the CLI come to the same answer (contract sections 5 and 25).
//
// There are no deny rules. A request is allowed when any rule of any active policy bound to the
// subject, directly or through a group, matches class, path, permission and conditions.
package policy
