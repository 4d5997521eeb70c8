package audit

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/scailabs/scaivault/server/guard"
)

var errLine = errors.New("not a line of the audit trail")

// decodeLine reads what appendLine wrote, and nothing else: a line that would be written differently is refused,
// so that no two readers can see two entries in it. Tenant is not part of a line; its chain is the tenant's.
func decodeLine(line []byte) (guard.Entry, error) {
	d := decoder{rest: string(line)}
	e := d.entry()
	if d.bad || d.rest != "" {
		return guard.Entry{}, errLine
	}
	if buf := make([]byte, 0, len(line)); !bytes.Equal(appendLine(buf, &e), line) {
		return guard.Entry{}, errLine
	}
	return e, nil
}

// lineTime is the time of a line without the cost of decoding it.
func lineTime(line []byte) (int64, error) {
	rest, ok := bytes.CutPrefix(line, []byte(`{"at":`))
	end := bytes.IndexByte(rest, ',')
	if !ok || end < 0 || end > 20 {
		return 0, errLine
	}
	at, err := strconv.ParseInt(string(rest[:end]), 10, 64)
	if err != nil {
		return 0, errLine
	}
	return at, nil
}

// decoder takes the fields off the front of rest; strings without escapes share its memory.
type decoder struct {
	rest string
	bad  bool
}

func (d *decoder) entry() guard.Entry {
	var e guard.Entry
	d.expect(`{"at":`)
	e.Time = time.UnixMicro(d.number()).UTC()
	d.expect(`,"action":`)
	e.Action = d.text()
	d.expect(`,"type":`)
	e.IdentityType = d.text()
	d.expect(`,"id":`)
	e.IdentityID = d.text()
	e.Path = d.field(`,"path":`)
	e.Target = d.field(`,"target":`)
	e.SourceIP = d.field(`,"ip":`)
	e.UserAgent = d.field(`,"agent":`)
	e.RequestID = d.field(`,"req":`)
	e.Success = d.take(`,"ok":true`)
	if !e.Success {
		d.expect(`,"ok":false`)
	}
	e.Code = d.field(`,"code":`)
	d.expect(`,"us":`)
	e.Duration = time.Duration(d.number()) * time.Microsecond
	if d.take(`,"count":`) {
		e.Count = d.number()
	}
	e.Notes = d.notes()
	d.expect(`}`)
	return e
}

func (d *decoder) notes() []guard.Note {
	if !d.take(`,"notes":[`) {
		return nil
	}
	var notes []guard.Note
	for !d.bad {
		d.expect(`[`)
		key := d.text()
		d.expect(`,`)
		notes = append(notes, guard.Note{Key: key, Value: d.text()})
		d.expect(`]`)
		if !d.take(`,`) {
			break
		}
	}
	d.expect(`]`)
	return notes
}

func (d *decoder) take(prefix string) bool {
	rest, ok := strings.CutPrefix(d.rest, prefix)
	d.rest = rest
	return ok
}

func (d *decoder) expect(prefix string) {
	if !d.take(prefix) {
		d.fail()
	}
}

func (d *decoder) fail() { d.bad, d.rest = true, "" }

func (d *decoder) number() int64 {
	end := strings.IndexAny(d.rest, ",}")
	if end < 0 {
		d.fail()
		return 0
	}
	n, err := strconv.ParseInt(d.rest[:end], 10, 64)
	if err != nil {
		d.fail()
	}
	d.rest = d.rest[min(end, len(d.rest)):]
	return n
}

func (d *decoder) field(name string) string {
	if !d.take(name) {
		return ""
	}
	return d.text()
}

func (d *decoder) text() string {
	d.expect(`"`)
	end := strings.IndexAny(d.rest, `"\`)
	if end >= 0 && d.rest[end] == '"' {
		s := d.rest[:end]
		d.rest = d.rest[end+1:]
		return s
	}
	return d.escapedText()
}

func (d *decoder) escapedText() string {
	var b strings.Builder
	for !d.bad {
		end := strings.IndexAny(d.rest, `"\`)
		if end < 0 {
			break
		}
		b.WriteString(d.rest[:end])
		if d.rest[end] == '"' {
			d.rest = d.rest[end+1:]
			return b.String()
		}
		d.rest = d.rest[end+1:]
		b.WriteRune(d.escape())
	}
	d.fail()
	return ""
}

func (d *decoder) escape() rune {
	switch {
	case d.take(`"`):
		return '"'
	case d.take(`\`):
		return '\\'
	case len(d.rest) < 5 || d.rest[0] != 'u':
		d.fail()
		return utf8.RuneError
	}
	n, err := strconv.ParseUint(d.rest[1:5], 16, 16)
	if err != nil {
		d.fail()
		return utf8.RuneError
	}
	d.rest = d.rest[5:]
	return rune(n)
}
