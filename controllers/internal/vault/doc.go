// Package vault is how the controllers reach the vault core: as the ServiceAccount of the object at hand
// for every value (Accounts), as the operator itself for policies and events (Own, Feed), and only while
// the vault that answers is the one that was pinned (Guard).
package vault
