// Package integration holds the composed server to what it promises across packages: the order of events, hostile
// input at the real listener, ids of other tenants, and that no value leaks.
package integration
