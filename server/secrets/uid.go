package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"encoding/hex"
)

var lowerBase32 = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)

// newUID draws the random name of a version, to which its value is bound.
func newUID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // ends the process rather than fail
	return lowerBase32.EncodeToString(b[:])
}

// etag is the opaque tag of a version: equal tags mean equal values (architecture section 8).
func etag(uid string) string {
	if uid == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("etag " + uid))
	return hex.EncodeToString(sum[:12])
}
