// Package client speaks the ScaiVault /v1 API.
//
// Every failed call is a *vaultapi.Error, except failures to reach the server at all, and answers that are
// not what the API promises. Neither tokens nor values ever stand in an error or a log line.
//
// Calls that may be repeated without harm are repeated on 429 (after what Retry-After says) and on 503
// (jittered back-off), a bounded number of times; a write of a secret is never repeated, because each one
// makes a version. Redirects are refused: a token must not reach another host.
package client
