// Package certificates makes and renews what the install's TLS stands on: an authority of its own, the serving
// certificate of the vault, and that of admission. The bootstrap makes them, the operator renews them, and both do
// it by the same steps: read what is there, decide by its dates, write what is missing or ages.
//
// An authority is replaced in two steps a week apart, so that whoever verifies holds the new one before anything is
// signed by it.
package certificates
