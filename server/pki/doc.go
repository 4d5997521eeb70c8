// Package pki is the vault's certificate authority (contract section 8): authorities, roles, and the certificates that
// are issued by them.
//
// Whoever issues needs scope pki:issue and permission `issue` on `pki:<role>`; what a certificate may say is decided in
// one place for every way to one (internal/certs). An authority's private key is sealed at rest, is opened only to sign,
// and leaves this package nowhere. Whether a certificate is revoked is read from the database each time, so that every
// replica knows of a revocation once it is committed.
package pki
