// Package secrets owns versioned secrets: write, read, metadata, versions, lists, batches, soft deletion
// (contract sections 3 and 4).
//
// It promises that each call is authorised and recorded by the guard, that every query names the tenant,
// that versions of a path are numbered in the order of their commits, and that a value is in no error,
// note, event or log line: it leaves as a seal.Plaintext.
package secrets
