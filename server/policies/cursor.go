package policies

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"

	"github.com/scailabs/scaivault/server/fault"
)

// cursors makes list cursors: the last key of a page, signed together with tenant and query, so
// that a cursor is of use only where it came from (contract OC-1).
type cursors struct{ key []byte }

const cursorTag = 16 // bytes of the signature that are kept

func (c cursors) sign(tenant, query, last string) []byte {
	mac := hmac.New(sha256.New, c.key)
	for _, part := range []string{tenant, query, last} {
		var size [8]byte
		binary.BigEndian.PutUint64(size[:], uint64(len(part)))
		mac.Write(size[:])
		mac.Write([]byte(part))
	}
	return mac.Sum(nil)[:cursorTag]
}

func (c cursors) write(tenant, query, last string) string {
	return base64.RawURLEncoding.EncodeToString(append(c.sign(tenant, query, last), last...))
}

// read returns the last key of the page before; empty for the first page.
func (c cursors) read(tenant, query, cursor string) (string, error) {
	if cursor == "" {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.DecodeString(cursor)
	if err != nil || len(raw) <= cursorTag || !hmac.Equal(raw[:cursorTag], c.sign(tenant, query, string(raw[cursorTag:]))) {
		return "", fault.Invalid(fault.CodeInvalidCursor, "the cursor does not belong to this list: begin again without one")
	}
	return string(raw[cursorTag:]), nil
}
