package httpapi

import (
	"bytes"
	"encoding/json"
	"testing"
)

func TestEscapeBreaks(t *testing.T) {
	for body, want := range map[string]string{
		"{\n\t\"a\": 1\r\n}":         "{\n\t\"a\": 1\r\n}", // between values they are white space
		"{\"a\":\"1\n2\"}":           `{"a":"1\n2"}`,
		"{\"a\":\"1\r\n\t2\"}":       `{"a":"1\r\n\t2"}`,
		`{"a":"1\n2"}`:               `{"a":"1\n2"}`,
		"{\"a\":\"\\\"\n\"}":         `{"a":"\"\n"}`, // an escaped quote ends nothing
		"{\"a\":\"\\\\\",\n\"b\":1}": "{\"a\":\"\\\\\",\n\"b\":1}",
		"{\"a\":\"\x00\"}":           "{\"a\":\"\x00\"}", // still refused
		"{\"a\":\"\\\n\"}":           "{\"a\":\"\\\n\"}", // a backslash before a raw break is no escape of JSON
	} {
		if got := string(escapeBreaks([]byte(body))); got != want {
			t.Errorf("%q became %q, want %q", body, got, want)
		}
	}
}

// FuzzEscapeBreaks: what is JSON stays the same bytes, and what becomes JSON has its breaks in strings only.
func FuzzEscapeBreaks(f *testing.F) {
	f.Add([]byte("{\"certificate_pem\":\"-----BEGIN\nAA\n-----END\"}"))
	f.Add([]byte(`{"a":"\\"}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		got := escapeBreaks(body)
		if json.Valid(body) && !bytes.Equal(got, body) {
			t.Fatalf("%q became %q", body, got)
		}
		if !bytes.Equal(escapeBreaks(got), got) {
			t.Fatalf("%q is not stable: %q", body, got)
		}
	})
}
