package secrets

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
)

// newUID draws the random name of a version, to which its value is bound.
func newUID() string { return strings.ToLower(rand.Text()) }

// etag is the opaque tag of a version: equal tags mean equal values (architecture section 8).
func etag(uid string) string {
	if uid == "" {
		return ""
	}
	sum := sha256.Sum256([]byte("etag " + uid))
	return hex.EncodeToString(sum[:12])
}
