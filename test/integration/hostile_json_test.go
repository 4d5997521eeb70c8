package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/vault"
)

// TestMistake43HostileBodies sends bodies that mean two things or cost too much to every operation that takes one.
func TestMistake43HostileBodies(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	w := s.World(s.Caller, "w", "v")
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	keys := &strings.Builder{}
	for i := range 100_000 {
		fmt.Fprintf(keys, `,"%x":0`, i)
	}
	bodies := map[string]string{
		"nothing of JSON": "hello", "half": `{"data":{"a":1}`, "two values": `{"data":{}} {"data":{}}`, "trailing bytes": `{"data":{"a":1}}x`,
		"a list": `[]`, "a text": `"x"`, "a number": `1`, "NaN": `{"data":{"a":NaN}}`, "hexadecimal": `{"data":{"a":0x10}}`,
		"a comment": `{"data":{}/* */}`, "single quotes": `{'data':{}}`, "a leading zero": `{"data":{"a":01}}`, "a plus": `{"data":{"a":+1}}`,
		"a key twice": `{"data":{"a":1},"data":{"b":2}}`, "a key twice in two cases": `{"data":{"a":1},"Data":{"b":2}}`,
		"a key twice, escaped": `{"data":{"a":1},"d\u0061ta":{"b":2}}`, "a key twice inside": `{"data":{"a":1,"a":2}}`,
		"no UTF-8": "{\"data\":{\"a\":\"\xff\xfe\"}}", "UTF-16": "\xff\xfe{\x00}\x00", "a byte order mark": "\ufeff{\"data\":{}}",
		"a control character": "{\"data\":{\"a\":\"\x01\"}}", "100 levels": deep(100), "a million levels": deep(400_000)[:1_900_000],
		"a million brackets": strings.Repeat("[", 1_000_000), "100 000 members": `{"data":{` + keys.String()[1:] + `}}`,
		"700 000 values": `{"data":{"a":[0` + strings.Repeat(",0", 700_000) + `]}}`, "3 MiB": `{"data":{"a":"` + strings.Repeat("x", 3<<20) + `"}}`,
	}
	for _, o := range s.Operations() {
		if r := w.Call(o); r.Body == nil {
			continue
		}
		for name, body := range bodies {
			r := w.Call(o)
			r.Body = body
			got := s.Do(r)
			if o.ID == "askOcsp" && string(got.Body) == malformed {
				continue
			}
			if got.Status/100 != 4 || got.Code() == "" {
				t.Errorf("%s with %s: %d %.300s", o.ID, name, got.Status, got.Body)
			}
		}
		r := w.Call(o)
		r.Header = map[string]string{"Content-Type": "text/plain"}
		if got := s.Do(r); got.Code() != "invalid_request" {
			t.Errorf("%s as text/plain: %d %.300s", o.ID, got.Status, got.Body)
		}
	}
}

// malformed is the answer malformedRequest in DER (RFC 6960 section 4.2.1), which goes out with status 200.
const malformed = "\x30\x03\x0a\x01\x01"

// TestNumbersStayAsWritten writes numbers that no machine type holds, as values and as metadata, and finds every
// digit again wherever they are shown.
func TestNumbersStayAsWritten(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		const numbers = `{"above":9223372036854775808,"below":-9223372036854775809,"digits":123456789012345678901234567890.00010,` +
			`"exponent":1e400,"list":[0.1,1.10,100E-2,-0],"minus":-0.0,"small":1E-999,"unsigned":18446744073709551616}`
		const one = "/v1/secrets/numbers/one"
		s.Must(vault.Request{Method: "PUT", Path: one, Body: `{"data":` + numbers + `,"metadata":{"own":` + numbers + `}}`}, nil)
		s.Must(vault.Request{Method: "PATCH", Path: one + "/metadata", Body: `{"metadata":{"patched":` + numbers + `}}`}, nil)
		member := func(body []byte, keys ...string) string {
			t.Helper()
			at := json.RawMessage(body)
			for _, k := range keys {
				var m map[string]json.RawMessage
				if err := json.Unmarshal(at, &m); err != nil {
					t.Fatalf("no %s in %s", k, body)
				}
				at = m[k]
			}
			return string(at)
		}
		read := s.Must(vault.Request{Path: one}, nil).Body
		batch := s.Must(vault.Request{Method: "POST", Path: "/v1/secrets/batch", Body: `{"paths":["numbers/one"],"options":{"include_metadata":true}}`}, nil).Body
		described := s.Must(vault.Request{Path: one + "/metadata"}, nil).Body
		for where, got := range map[string]string{
			"read": member(read, "data"), "read metadata": member(read, "metadata", "own"), "read patch": member(read, "metadata", "patched"),
			"batch": member(batch, "secrets", "numbers/one", "data"), "batch metadata": member(batch, "secrets", "numbers/one", "metadata", "own"),
			"metadata": member(described, "metadata", "own"), "metadata patch": member(described, "metadata", "patched"),
		} {
			if d := cmp.Diff(numbers, got); d != "" {
				t.Errorf("%s: %s", where, d)
			}
		}
		list := string(s.Must(vault.Request{Path: "/v1/secrets?prefix=numbers/&include_metadata=true"}, nil).Body)
		if strings.Count(list, numbers) != 4 { // two keys, under secrets and under data
			t.Errorf("list: %s", list)
		}
	})
}

// TestHostileTextInEveryInput puts text that some database, log or parser may trip over into every input of every
// operation, one at a time, on both engines. The answer may be yes or no, but never a failure of the server, nor
// anything that a browser shows as a page.
func TestHostileTextInEveryInput(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		w := s.World(s.Caller, "w", "v")
		for _, o := range s.Operations() {
			for _, input := range o.Inputs {
				for name, text := range hostileTexts() {
					r, ok := put(w.Call(o), o, input, text)
					if !ok {
						continue
					}
					got := s.Do(r)
					if got.Status >= 500 || got.Status == 0 {
						t.Errorf("%s with %s in %s: %d %s", o.ID, name, input, got.Status, got.Body)
					}
					if kind, _, _ := strings.Cut(got.Header.Get("Content-Type"), ";"); len(got.Body) > 0 && !slices.Contains(inert(), kind) ||
						got.Header.Get("X-Content-Type-Options") != "nosniff" { // mistake 32: what was sent comes back as a page
						t.Errorf("%s with %s in %s: answered as %q", o.ID, name, input, kind)
					}
					if got.Status/100 == 3 {
						t.Errorf("%s with %s in %s: redirected to %s", o.ID, name, input, got.Header.Get("Location"))
					}
				}
			}
			w.Leave()
			w = s.World(s.Caller, strings.ToLower(o.ID), "v")
		}
		var v struct {
			Valid bool `json:"valid"`
		}
		s.Must(vault.Request{Path: "/v1/audit/verify"}, &v)
		if !v.Valid {
			t.Error("the chain does not verify")
		}
	})
}

// inert are the media types that nobody shows as a page.
func inert() []string {
	return []string{
		"application/json", "text/plain", "application/x-pem-file", "application/pkix-cert", "application/pkix-crl", "application/ocsp-response",
	}
}

func hostileTexts() map[string]string {
	return map[string]string{
		"NUL": "a\x00b", "SQL": `'; DROP TABLE secrets; --"`, "percent": "%s%n%00", "line ends": "a\r\nSet-Cookie: x=y\n",
		"dots": "../../etc/passwd", "escapes": "\x1b[2J\u202e\u2028\u0085", "a wide character": "\U0001F512\U0010FFFF", "stars": "***{}[]?()|\\",
		"nothing": "", "a blank": " ", "a number": "9223372036854775808", "minus": "-1", "a lone surrogate": "\xed\xa0\x80",
		"a template": "{{ .x }}${x}{namespace}", "length": strings.Repeat("a", 20_000), "an old date": "0000-01-01", "a far date": "9999-12-31T23:59:59.999999999Z",
		"a long duration": "9999999999h", "markup": "<script>alert(1)</script>", "json": `{"a":[1]}`,
	}
}

// put is a call with text in one of its inputs; false where the text cannot be sent there.
func put(r vault.Request, o vault.Operation, input, text string) (vault.Request, bool) {
	if strings.Contains(o.Path, "{"+input+"}") {
		return inPath(r, o, input, text)
	}
	if r.Body == nil {
		path, query, _ := strings.Cut(r.Path, "?")
		values, err := url.ParseQuery(query)
		if err != nil {
			panic(err) // a test's own literal
		}
		if values.Set(input, text); input == "timeout" && text == "" {
			values.Set(input, "0") // without it the poll waits half a minute
		}
		r.Path = path + "?" + values.Encode()
		return r, true
	}
	var body map[string]any
	raw, err := json.Marshal(r.Body)
	if err == nil {
		err = json.Unmarshal(raw, &body)
	}
	if err != nil || strings.Contains(text, "\xed") { // encoding/json would replace it
		return r, false
	}
	set(body, strings.Split(input, "."), text)
	r.Body = body
	return r, true
}

func inPath(r vault.Request, o vault.Operation, input, text string) (vault.Request, bool) {
	if text == "" {
		return r, false
	}
	path, query, _ := strings.Cut(r.Path, "?")
	want, have := strings.Split(o.Path, "/"), strings.Split(path, "/")
	for i := range want {
		if want[i] != "{"+input+"}" {
			continue
		}
		have[i] = url.PathEscape(text)
		if input == "path" { // which spans what is left, but a suffix
			have = append(have[:i+1], want[i+1:]...)
		}
		break
	}
	r.Path = strings.TrimSuffix(strings.Join(have, "/")+"?"+query, "?")
	return r, true
}

// set puts text at a dotted name, where [] is a list of one.
func set(m map[string]any, names []string, text string) {
	name, list := strings.CutSuffix(names[0], "[]")
	var value any = text
	if len(names) > 1 {
		inner := map[string]any{}
		switch was := m[name].(type) {
		case map[string]any:
			inner = was
		case []any:
			inner, _ = was[0].(map[string]any)
		}
		set(inner, names[1:], text)
		value = inner
	}
	if list {
		value = []any{value}
	}
	m[name] = value
}

// TestIntegersOutOfRange: where a number counts something, what does not fit is refused and not cut.
func TestIntegersOutOfRange(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	w := s.World(s.Caller, "w", "v")
	for _, n := range []string{"9223372036854775808", "-9223372036854775809", "1e400", "1.5", `"1"`, "true", "-1", "99999999999999999999999999", "[]", "{}"} {
		for _, body := range []string{`{"max_versions":` + n + `}`, `{"cas_version":` + n + `}`} {
			r := vault.Request{Method: "PUT", Path: "/v1/secrets/" + w.Secret, Body: `{"data":{},"options":` + body + `}`}
			if got := s.Do(r); got.Status != http.StatusBadRequest && got.Status != http.StatusUnprocessableEntity && got.Status != http.StatusConflict {
				t.Errorf("%s: %d %s", body, got.Status, got.Body)
			}
		}
		r := vault.Request{Method: "POST", Path: "/v1/secrets/batch", Body: `{"paths":["a"],"options":{"version":` + n + `}}`}
		if got := s.Do(r); got.Status/100 != 4 {
			t.Errorf("version %s: %d %s", n, got.Status, got.Body)
		}
	}
	for _, query := range []string{"limit=9223372036854775808", "limit=1e2", "limit=0x10", "limit=+5", "limit=", "limit=%205", "limit=1&limit=2", "limit=٣"} {
		if got := s.Do(vault.Request{Path: "/v1/secrets?" + query}); got.Status/100 != 4 && query != "limit=" && query != "limit=1&limit=2" {
			t.Errorf("%s: %d %s", query, got.Status, got.Body)
		}
	}
}
