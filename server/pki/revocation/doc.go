// Package revocation tells the world which certificates of the vault's authorities are revoked: by lists (RFC 5280) and
// by OCSP (RFC 6960, RFC 5019), to whoever asks.
//
// Nothing here is a second record of revocations. Each answer begins with one look at the authority's revision, which
// grows with every revocation in the transaction of the revocation itself; what was signed at that revision before is
// given again, and anything else is made anew from the rows. So an answer is right from the moment of the revocation, on
// every replica, and asking costs one indexed query.
package revocation
