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

// newEventID makes evt_ and 26 characters: a millisecond and 80 random bits, as a ULID has them.
func newEventID(at time.Time) string {
	var id [16]byte
	binary.BigEndian.PutUint64(id[:8], uint64(at.UnixMilli())<<16)
	_, _ = rand.Read(id[6:])
	// 26 characters hold 130 bits: two zero bits come first.
	var wide [17]byte
	for i, octet := range id {
		wide[i] |= octet >> 2
		wide[i+1] = octet << 6
	}
	return eventPrefix + spelled(wide[:], crockford, 26)
}

// isEventID tells whether s could have come from newEventID. Nothing else is looked for: a NUL, for one, is more
// than PostgreSQL can be asked.
func isEventID(s string) bool {
	rest, ok := strings.CutPrefix(s, eventPrefix)
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
func newSubscriptionID() string {
	var b [15]byte
	_, _ = rand.Read(b[:])
	return subscriptionPrefix + spelled(b[:], lower, 24)
}

// isSubscriptionID tells whether s could have come from newSubscriptionID.
func isSubscriptionID(s string) bool {
	rest, ok := strings.CutPrefix(s, subscriptionPrefix)
	return ok && len(rest) == 24 && strings.Trim(rest, lower) == ""
}
