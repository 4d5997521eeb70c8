// Package target is the one writer of Kubernetes Secrets.
//
// A Secret is made by Create, so that one of somebody else is never overwritten; later writes are
// server-side apply with UID and resourceVersion as preconditions, so that neither a stale leader nor a
// stale read can put an old value over a new one. Values appear in no error.
package target
