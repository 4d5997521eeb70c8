package audit

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Limits of a page (contract section 11).
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// Query says which entries are asked for; zero fields ask for all.
type Query struct {
	From, To     time.Time // both inclusive
	Actions      []string  // any of these
	IdentityID   string
	IdentityType string
	PathPrefix   string
	Success      *bool
	SourceIP     string
	RequestID    string
	Limit        int    // default 100, at most 1000
	Cursor       string // of the page before; only good for the same query by the same tenant
}

func (q Query) limit() (int, error) {
	if q.Limit < 0 || q.Limit > maxLimit {
		return 0, fault.Invalid(fault.CodeInvalidRequest, "limit must be between 1 and %d", maxLimit).With("parameter", "limit")
	}
	if q.Limit == 0 {
		return defaultLimit, nil
	}
	return q.Limit, nil
}

// interval is a stretch of time in microseconds, both ends inclusive.
type interval struct{ from, to int64 }

// between makes an interval of two instants that may be absent.
func between(from, to time.Time) (interval, error) {
	r := interval{math.MinInt64, math.MaxInt64}
	if !from.IsZero() {
		r.from = from.Add(time.Microsecond - 1).UnixMicro()
	}
	if !to.IsZero() {
		r.to = to.UnixMicro()
	}
	if r.from > r.to {
		return r, fault.Invalid(fault.CodeInvalidRequest, "from must not be later than to").With("parameter", "from")
	}
	return r, nil
}

// search turns q into what a scan looks for. path, if it is not "", is the one path that is asked for.
func (q Query) search(tenant, path string) (search, error) {
	r, err := between(q.From, q.To)
	if err != nil {
		return search{}, err
	}
	s := search{tenant: tenant, from: r.from, to: r.to, match: q.matches(path)}
	switch {
	case path != "":
		s.term = termPath + clean(path, maxPath)
	case q.IdentityID != "":
		s.term = termIdentity + clean(q.IdentityID, maxName)
	case len(q.Actions) == 1:
		s.term = termAction + clean(q.Actions[0], maxName)
	}
	needle := func(name, value string, end int) {
		if value != "" {
			n := appendField(nil, name, value)
			s.needles = append(s.needles, n[:len(n)-end])
		}
	}
	needle(`"path":`, path, 0)
	needle(`"path":`, q.PathPrefix, 1)
	needle(`"id":`, q.IdentityID, 0)
	needle(`"type":`, q.IdentityType, 0)
	needle(`"ip":`, q.SourceIP, 0)
	needle(`"req":`, q.RequestID, 0)
	return s, nil
}

func (q Query) matches(path string) func(*guard.Entry) bool {
	return func(e *guard.Entry) bool {
		return either(path, e.Path) && either(q.IdentityID, e.IdentityID) && either(q.IdentityType, e.IdentityType) &&
			either(q.SourceIP, e.SourceIP) && either(q.RequestID, e.RequestID) && strings.HasPrefix(e.Path, q.PathPrefix) &&
			(len(q.Actions) == 0 || slices.Contains(q.Actions, e.Action)) && (q.Success == nil || *q.Success == e.Success)
	}
}

func either(asked, got string) bool { return asked == "" || asked == got }

// digest identifies the query whatever page of it is asked for.
func (q Query) digest(tenant, path string) ([]byte, error) {
	q.Limit, q.Cursor = 0, ""
	text, err := json.Marshal(struct {
		Tenant, Path string
		Query        Query
	}{tenant, path, q})
	if err != nil {
		return nil, fault.Internal(err, "digest of audit query")
	}
	sum := sha256.Sum256(text)
	return sum[:], nil
}

const (
	cursorSum  = 16
	cursorHead = 16 // time and number
)

// cursor is opaque, and bound to its tenant and query by the installation's key (contract OC-1).
func (k *signingKey) cursorAt(p position, digest []byte) string {
	b := binary.BigEndian.AppendUint64(nil, uint64(p.at))
	b = binary.BigEndian.AppendUint64(b, uint64(p.seq))
	b = append(b, p.writer...)
	return base64.RawURLEncoding.EncodeToString(append(b, k.cursorMAC(b, digest)...))
}

func (k *signingKey) readCursor(cursor string, digest []byte) (position, error) {
	b, err := base64.RawURLEncoding.DecodeString(cursor)
	n := len(b) - cursorSum
	if err != nil || n <= cursorHead || !hmac.Equal(b[n:], k.cursorMAC(b[:n], digest)) {
		return position{}, fault.Invalid(fault.CodeInvalidCursor, "the cursor does not belong to this query: begin again without one")
	}
	return position{
		at: int64(binary.BigEndian.Uint64(b)), seq: int64(binary.BigEndian.Uint64(b[8:])), writer: string(b[cursorHead:n]),
	}, nil
}

func (k *signingKey) cursorMAC(b, digest []byte) []byte {
	mac := hmac.New(sha256.New, k.cursor)
	mac.Write(digest)
	mac.Write(b)
	return mac.Sum(nil)[:cursorSum]
}
