package audit

import (
	"bufio"
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/guard"
)

func sample() guard.Entry {
	return guard.Entry{
		Tenant: "tnt_default", Time: time.UnixMicro(1764000000123456).UTC(), Action: "read", IdentityType: "service_account",
		IdentityID: "sa:billing:billing-prod", Path: "environments/production/billing/database", SourceIP: "10.0.12.34",
		UserAgent: "scaivault-operator/0.1 (linux/amd64)", RequestID: "req_01jd2v6x3m8q9r4t5w7y", Success: true,
		Duration: 123 * time.Microsecond,
	}
}

func TestLineRoundTrip(t *testing.T) {
	full := sample()
	full.Target, full.Code, full.Success, full.Count = "pol_1", "access_denied", false, 17
	full.Notes = []guard.Note{{Key: "version", Value: "3"}, {Key: "", Value: "a\"b\\c\nd\u2028e\u0085f\u00e9"}}
	for name, e := range map[string]guard.Entry{"usual": sample(), "full": full, "empty": {Time: time.UnixMicro(0).UTC()}} {
		t.Run(name, func(t *testing.T) {
			line := appendLine(nil, &e)
			got, err := decodeLine(line)
			if err != nil {
				t.Fatalf("decodeLine(%s): %v", line, err)
			}
			got.Tenant = e.Tenant
			if diff := cmp.Diff(e, got); diff != "" {
				t.Errorf("read back (-written +read):\n%s", diff)
			}
		})
	}
}

func TestCleanedKeepsWithinBounds(t *testing.T) {
	long := strings.Repeat("\xff", 10000)
	e := sample()
	e.Path, e.UserAgent, e.Code, e.Duration, e.Count = long, strings.Repeat("é", 1000), "a\x00b", -5, -1
	for range 20 {
		e.Notes = append(e.Notes, guard.Note{Key: long, Value: long})
	}
	got := cleaned(e)
	if len(got.Path) > maxPath || len(got.UserAgent) > maxAgent || len(got.Notes) != maxNotes || len(got.Notes[0].Value) > maxNote {
		t.Errorf("path %d, agent %d, notes %d, note %d bytes", len(got.Path), len(got.UserAgent), len(got.Notes), len(got.Notes[0].Value))
	}
	if got.Code != "a\uFFFDb" || got.Duration != 0 || got.Count != 0 {
		t.Errorf("code %q, duration %v, count %d", got.Code, got.Duration, got.Count)
	}
	if again := cleaned(got); !reflect.DeepEqual(again, got) {
		t.Errorf("cleaning twice differs: %s", cmp.Diff(got, again))
	}
}

// A caller chooses user agent and path; neither may end the line, add a field or steer a terminal.
func TestLineCannotBeForged(t *testing.T) {
	forged := string(appendLine(nil, &guard.Entry{Action: "read", IdentityID: "user:innocent", Success: true}))
	for _, hostile := range []string{
		"x\n" + forged, "x\r\n" + forged, `","ok":true,"code":"`, `\`, `\"`, "\x00", "\x1b[2J", "\u0085" + forged, "\u2028" + forged, "\x80\xff\xc0\"", "\xed\xa0\x80",
	} {
		e := sample()
		e.UserAgent, e.Path, e.Success = hostile, hostile, false
		line := appendLine(nil, ptr(cleaned(e)))
		if bytes.ContainsAny(line, "\n\r\x1b\u0085\u2028") {
			t.Errorf("%q: raw line end or escape in %q", hostile, line)
		}
		var m map[string]any
		if err := json.Unmarshal(line, &m); err != nil {
			t.Errorf("%q: not JSON: %v: %s", hostile, err, line)
		}
		if m["ok"] != false || m["id"] != e.IdentityID {
			t.Errorf("%q changed other fields: %s", hostile, line)
		}
		s := bufio.NewScanner(bytes.NewReader(append(line, '\n')))
		n := 0
		for s.Scan() {
			n++
		}
		if n != 1 {
			t.Errorf("%q: %d lines", hostile, n)
		}
	}
}

func ptr[T any](v T) *T { return &v }

func TestDecodeRefusesOtherWritings(t *testing.T) {
	good := string(appendLine(nil, ptr(sample())))
	bad := map[string]string{
		"empty":            "",
		"cut":              good[:len(good)-1],
		"more after":       good + "{}",
		"space":            strings.Replace(good, `"action":`, `"action": `, 1),
		"needless escape":  strings.Replace(good, `"read"`, `"\u0072ead"`, 1),
		"leading zero":     strings.Replace(good, `"us":123`, `"us":0123`, 1),
		"empty optional":   strings.Replace(good, `"ok":true`, `"ok":true,"code":""`, 1),
		"twice":            strings.Replace(good, `"ok":true`, `"ok":true,"ok":true`, 1),
		"unknown field":    strings.Replace(good, `"ok":true`, `"ok":true,"value":"s3cr3t"`, 1),
		"float":            strings.Replace(good, `"us":123`, `"us":1.5`, 1),
		"other order":      strings.Replace(good, `"ok":true,"us":123`, `"us":123,"ok":true`, 1),
		"endless string":   good[:20] + `"`,
		"open escape":      `{"at":1,"action":"\u00`,
		"surrogate escape": strings.Replace(good, `"read"`, `"\ud800"`, 1),
	}
	for name, line := range bad {
		if e, err := decodeLine([]byte(line)); err == nil {
			t.Errorf("%s: accepted %s as %+v", name, line, e)
		}
	}
}

// FuzzLine: whatever an entry holds, its line is one line of JSON that reads back as the cleaned entry.
func FuzzLine(f *testing.F) {
	f.Add("read", "user:a@b", "a/b", "curl/8", "k", "v", int64(1), int64(5), true)
	f.Add("\n", "\"", "\\", "\x00\xff", "\u2028", "\x1b", int64(-1), int64(-7), false)
	f.Fuzz(func(t *testing.T, action, id, path, agent, key, value string, at, us int64, ok bool) {
		e := cleaned(guard.Entry{
			Action: action, IdentityID: id, Path: path, UserAgent: agent, Notes: []guard.Note{{Key: key, Value: value}},
			Time: time.UnixMicro(at), Duration: time.Duration(us % 1e12), Success: ok, Count: us,
		})
		line := appendLine(nil, &e)
		if bytes.ContainsAny(line, "\n\r") || !json.Valid(line) {
			t.Fatalf("not one line of JSON: %q", line)
		}
		got, err := decodeLine(line)
		if err != nil {
			t.Fatalf("decodeLine(%q): %v", line, err)
		}
		if diff := cmp.Diff(e, got); diff != "" {
			t.Fatalf("read back (-written +read):\n%s", diff)
		}
		if quick, err := lineTime(line); err != nil || quick != e.Time.UnixMicro() {
			t.Fatalf("lineTime = %d, %v, want %d", quick, err, e.Time.UnixMicro())
		}
	})
}

// FuzzDecodeLine: what is accepted is written again byte by byte, so that a line has one reading only.
func FuzzDecodeLine(f *testing.F) {
	f.Add(appendLine(nil, ptr(sample())))
	f.Add([]byte(`{"at":1,"action":"","type":"","id":"","ok":true,"us":0,"notes":[["a","b"]]}`))
	f.Fuzz(func(t *testing.T, line []byte) {
		e, err := decodeLine(line)
		if err != nil {
			return
		}
		if again := appendLine(nil, &e); !bytes.Equal(again, line) {
			t.Fatalf("%q is written again as %q", line, again)
		}
	})
}

func BenchmarkAppendLine(b *testing.B) {
	e := sample()
	b.ReportAllocs()
	buf := make([]byte, 0, 1024)
	for b.Loop() {
		c := cleaned(e)
		buf = appendLine(buf[:0], &c)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecodeLine(b *testing.B) {
	line := appendLine(nil, ptr(sample()))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := decodeLine(line); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkLink(b *testing.B) {
	line := appendLine(nil, ptr(sample()))
	h, buf := genesis("t", "w"), []byte(nil)
	for b.Loop() {
		h, buf = h.link(buf, line)
	}
}
