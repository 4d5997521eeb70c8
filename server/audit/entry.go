package audit

import (
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/scailabs/scaivault/server/guard"
)

// What an entry may hold at most, in bytes. Longer strings are cut, further notes are dropped: whoever calls
// without a token must not decide how much is written.
const (
	maxName  = 256 // action, identity, target, source, request id, code, keys of notes
	maxPath  = 512 // contract section 3.2
	maxAgent = 256
	maxNote  = 256
	maxNotes = 8
)

const hexDigits = "0123456789abcdef"

// cleaned is e as it will be written and read back: whole microseconds in UTC, valid UTF-8 without NUL
// (PostgreSQL's TEXT knows none), and nothing longer than its maximum.
func cleaned(e guard.Entry) guard.Entry {
	e.Time = time.UnixMicro(e.Time.UnixMicro()).UTC()
	e.Duration = max(e.Duration, 0).Truncate(time.Microsecond)
	e.Count = max(e.Count, 0)
	e.Action, e.IdentityType, e.IdentityID = clean(e.Action, maxName), clean(e.IdentityType, maxName), clean(e.IdentityID, maxName)
	e.Path, e.Target = clean(e.Path, maxPath), clean(e.Target, maxName)
	e.SourceIP, e.UserAgent = clean(e.SourceIP, maxName), clean(e.UserAgent, maxAgent)
	e.RequestID, e.Code = clean(e.RequestID, maxName), clean(e.Code, maxName)
	if len(e.Notes) == 0 {
		e.Notes = nil
		return e
	}
	notes := make([]guard.Note, min(len(e.Notes), maxNotes))
	for i := range notes {
		notes[i] = guard.Note{Key: clean(e.Notes[i].Key, maxName), Value: clean(e.Notes[i].Value, maxNote)}
	}
	e.Notes = notes
	return e
}

func clean(s string, limit int) string {
	if len(s) <= limit && plain(s) {
		return s
	}
	s = s[:min(len(s), 4*limit)] // cleaning must not cost more than a few times what is kept
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}

// plain tells whether s is printable ASCII, which is the usual case.
func plain(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return false
		}
	}
	return true
}

// appendLine writes a cleaned entry as one line of JSON without its line end. The fields and their order are
// fixed: an entry has exactly one encoding, and decodeLine accepts no other.
func appendLine(b []byte, e *guard.Entry) []byte {
	b = strconv.AppendInt(append(b, `{"at":`...), e.Time.UnixMicro(), 10)
	b = appendString(append(b, `,"action":`...), e.Action)
	b = appendString(append(b, `,"type":`...), e.IdentityType)
	b = appendString(append(b, `,"id":`...), e.IdentityID)
	b = appendField(b, `,"path":`, e.Path)
	b = appendField(b, `,"target":`, e.Target)
	b = appendField(b, `,"ip":`, e.SourceIP)
	b = appendField(b, `,"agent":`, e.UserAgent)
	b = appendField(b, `,"req":`, e.RequestID)
	b = strconv.AppendBool(append(b, `,"ok":`...), e.Success)
	b = appendField(b, `,"code":`, e.Code)
	b = strconv.AppendInt(append(b, `,"us":`...), e.Duration.Microseconds(), 10)
	if e.Count > 0 {
		b = strconv.AppendInt(append(b, `,"count":`...), e.Count, 10)
	}
	return append(appendNotes(b, e.Notes), '}')
}

func appendNotes(b []byte, notes []guard.Note) []byte {
	if len(notes) == 0 {
		return b
	}
	b = append(b, `,"notes":`...)
	for i, n := range notes {
		b = append(b, "[,"[min(i, 1)], '[')
		b = appendString(b, n.Key)
		b = appendString(append(b, ','), n.Value)
		b = append(b, ']')
	}
	return append(b, ']')
}

func appendField(b []byte, name, s string) []byte {
	if s == "" {
		return b
	}
	return appendString(append(b, name...), s)
}

// appendString writes valid UTF-8 as a JSON string. Everything that some reader may take for the end of a
// line, or that steers a terminal, is escaped: control characters of both ranges, U+2028 and U+2029.
func appendString(b []byte, s string) []byte {
	b = append(b, '"')
	start := 0
	for i := 0; i < len(s); {
		if c := s[i]; c >= 0x20 && c < 0x7f && c != '"' && c != '\\' {
			i++
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		if escaped(r) {
			b = appendEscape(append(b, s[start:i]...), r)
			start = i + size
		}
		i += size
	}
	return append(append(b, s[start:]...), '"')
}

func escaped(r rune) bool {
	return r == '"' || r == '\\' || r < 0x20 || r >= 0x7f && r < 0xa0 || r == '\u2028' || r == '\u2029'
}

func appendEscape(b []byte, r rune) []byte {
	if r == '"' || r == '\\' {
		return append(b, '\\', byte(r))
	}
	return append(b, '\\', 'u', hexDigits[r>>12&15], hexDigits[r>>8&15], hexDigits[r>>4&15], hexDigits[r&15])
}
