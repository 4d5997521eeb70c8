package events

import (
	"crypto/rand"
	"encoding/binary"
	"strings"
	"time"
)

// Alphabets of ids, 32 characters each. That of ULIDs keeps their order by time.
const (
	crockford = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
	lower     = "abcdefghijklmnopqrstuvwxyz234567"
)

func newEventID(at time.Time) string { return NewID(eventPrefix, at) }

// NewID makes a prefix and 26 characters: a millisecond and 80 random bits, as a ULID has them, so that ids sort by time.
func NewID(prefix string, at time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	_, _ = rand.Read(id[6:])
	// 26 characters hold 130 bits: two zero bits come first.
	var wide [17]byte
	for i, octet := range id {
		wide[i] |= octet >> 2
		wide[i+1] = octet << 6
	}
	return prefix + spelled(wide[:], crockford, 26)
}

func isEventID(s string) bool { return IsID(eventPrefix, s) }

// IsID tells whether s could have come from NewID. Nothing else is looked for: a NUL, for one, is more than
// PostgreSQL can be asked.
func IsID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && len(rest) == 26 && strings.Trim(rest, crockford) == ""
}

// spelled writes n characters of five bits each.
func spelled(bits []byte, alphabet string, n int) string {
	text := make([]byte, n)
	for i := range text {
		at := 5 * i
		pair := uint16(bits[at/8]) << 8
		if at/8+1 < len(bits) {
			pair |= uint16(bits[at/8+1])
		}
		text[i] = alphabet[pair>>(11-at%8)&31]
	}
	return string(text)
}

const (
	eventPrefix        = "evt_"
	subscriptionPrefix = "sub_"
)

// newSubscriptionID makes sub_ and 24 random characters (contract OC-2).
func newSubscriptionID() string { return NewRandomID(subscriptionPrefix) }

// isSubscriptionID tells whether s could have come from newSubscriptionID.
func isSubscriptionID(s string) bool { return IsRandomID(subscriptionPrefix, s) }

// NewRandomID makes a prefix and 24 random characters (contract OC-2).
func NewRandomID(prefix string) string {
	var b [15]byte
	_, _ = rand.Read(b[:])
	return prefix + spelled(b[:], lower, 24)
}

// IsRandomID tells whether s could have come from NewRandomID.
func IsRandomID(prefix, s string) bool {
	rest, ok := strings.CutPrefix(s, prefix)
	return ok && len(rest) == 24 && strings.Trim(rest, lower) == ""
}
