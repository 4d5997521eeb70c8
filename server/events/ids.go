package events

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/binary"
	"strings"
	"time"
)

var (
	// crockford is the alphabet of ULIDs: ids sort by time.
	crockford = base32.NewEncoding("0123456789ABCDEFGHJKMNPQRSTVWXYZ").WithPadding(base32.NoPadding)
	lower     = base32.NewEncoding("abcdefghijklmnopqrstuvwxyz234567").WithPadding(base32.NoPadding)
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
	return "evt_" + crockford.EncodeToString(wide[:])[:26]
}

const subscriptionPrefix = "sub_"

// newSubscriptionID makes sub_ and 24 random characters (contract OC-2).
func newSubscriptionID() string {
	var b [15]byte
	_, _ = rand.Read(b[:])
	return subscriptionPrefix + lower.EncodeToString(b[:])
}

// isSubscriptionID tells whether s could have come from newSubscriptionID.
func isSubscriptionID(s string) bool {
	rest, ok := strings.CutPrefix(s, subscriptionPrefix)
	return ok && len(rest) == 24 && strings.Trim(rest, "abcdefghijklmnopqrstuvwxyz234567") == ""
}
