// Package seal keeps secrets sealed at rest (contract section 21.1): the root key wraps partner keys, a
// partner key wraps tenant keys, a tenant key wraps one AES-256-GCM data key per secret version.
//
// It promises that whatever was changed or moved in the database does not open, that a wrong root key
// changes nothing, and that a value does not print: Plaintext redacts everywhere but in Reveal.
package seal
