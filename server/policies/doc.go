// Package policies keeps access policies and their bindings (contract section 5), compiles them for
// the guard, and answers who may do what.
//
// Every change locks the tenant's row, writes, and raises tenants.policy_revision in one
// transaction, so changes of one tenant happen one after the other on both engines. A compiled set
// carries the revision it is of; a decision by an older one is taken again (architecture section 5).
package policies
