// Package cursor makes the cursors of lists: the last key of a page, signed together with tenant and query, so that
// a cursor is of use only where it came from (contract OC-1).
package cursor

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/scailabs/scaivault/server/fault"
)

// Signer makes cursors and reads them. Key is the same on every replica.
type Signer struct{ Key []byte }

const tag = 16 // bytes of the signature that are kept

func (s Signer) sign(tenant, query, last string) []byte {
	mac := hmac.New(sha256.New, s.Key)
	for _, part := range []string{tenant, query, last} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)[:tag]
}

// Write makes the cursor of the page that follows last.
func (s Signer) Write(tenant, query, last string) string {
	return base64.RawURLEncoding.EncodeToString(append(s.sign(tenant, query, last), last...))
}

// Read returns the last key of the page before; empty for the first page.
func (s Signer) Read(tenant, query, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) <= tag || !hmac.Equal(raw[:tag], s.sign(tenant, query, string(raw[tag:]))) {
		return "", fault.Invalid(fault.CodeInvalidCursor, "the cursor does not belong to this list: begin again without one")
	}
	return string(raw[tag:]), nil
}
