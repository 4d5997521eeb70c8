// Package certstatus makes what tells whether a certificate is revoked: certificate revocation lists (RFC 5280,
// section 5), and answers of OCSP (RFC 6960) in the profile for many clients (RFC 5019). It knows nothing of where
// revocations are kept.
package certstatus
