package httpapi

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/fault"
)

func TestCheckJSON(t *testing.T) {
	for body, want := range map[string]string{
		`{}`: "", ` { "a" : [ 1 , -0.5e+10 , true , null , "x" ] } `: "", `[]`: "", `"a"`: "", `0`: "",
		`{"n":123456789012345678901234567890123456789}`: "",
		`{"a":{"x":1},"b":{"x":1}}`:                     "",
		`{"data":{"Key":1,"key":2}}`:                    "",
		`{"a":1,"a":2}`:                                 "twice",
		`{"a":1,"\u0061":2}`:                            "twice",
		`{"data":1,"DATA":2}`:                           "twice",
		`{"d":{"a":1,"b":[{"c":1,"c":1}]}}`:             "twice",
		`{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1,"g":1,"h":1,"i":1,"j":1,"a":1}`: "twice",
		`{} {}`:        "goes on",
		`{}x`:          "goes on",
		`{"a":1}]`:     "goes on",
		``:             "not valid",
		`{`:            "not valid",
		`{"a"}`:        "not valid",
		`{"a":}`:       "not valid",
		`{"a":1,}`:     "not valid",
		`{a:1}`:        "not valid",
		`[1,]`:         "not valid",
		`[1 2]`:        "not valid",
		`01`:           "goes on",
		`1.`:           "not valid",
		`-`:            "not valid",
		`1e`:           "not valid",
		`+1`:           "not valid",
		`NaN`:          "not valid",
		`tru`:          "not valid",
		`"a`:           "not valid",
		"\"a\nb\"":     "not valid",
		`"\x"`:         "not valid",
		`"\u12"`:       "not valid",
		"\"\xff\"":     "UTF-8",
		"\ufeff{}":     "not valid",
		`{"a":1} // c`: "goes on",
	} {
		err := checkJSON([]byte(body))
		switch {
		case want == "" && err != nil:
			t.Errorf("%s: %v", body, err)
		case want != "" && (err == nil || !strings.Contains(err.Error(), want) || !fault.Is(err, fault.CodeInvalidRequest)):
			t.Errorf("%s: %v, want %q", body, err, want)
		}
	}
}

// What the check lets through, encoding/json takes as well; what it refuses as broken, encoding/json refuses too.
func FuzzCheckJSON(f *testing.F) {
	for _, seed := range []string{`{"a":[1,2,{"b":null}],"c":"\u00e9"}`, `{"a":1,"a":2}`, `[1.5e-3,true,"\\"]`, `{"a":"\ud800"}`, `nul`, `{"a" :1 }`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		err := checkJSON(body)
		valid := json.Valid(body)
		if err == nil && !valid {
			t.Fatalf("%q passed", body)
		}
		if err != nil && valid && strings.Contains(err.Error(), "not valid JSON") {
			t.Fatalf("%q: %v", body, err)
		}
		if err != nil {
			return
		}
		dec := json.NewDecoder(bytes.NewReader(body))
		var v any
		if dec.Decode(&v) != nil {
			t.Fatalf("%q cannot be decoded", body)
		}
		if _, err := dec.Token(); err != io.EOF {
			t.Fatalf("%q goes on", body)
		}
	})
}

func TestBodies(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	const restore, write = "/v1/secrets/a/restore", "/v1/secrets/a"
	for _, test := range []struct {
		name, method, target, body, contentType string
		status                                  int
	}{
		{"an empty POST is {}", "POST", restore, "", "", 200},
		{"blanks are no body", "POST", restore, "  \n", "", 200},
		{"a POST with {}", "POST", restore, "{}", "application/json", 200},
		{"an empty PUT", "PUT", write, "", "", 400},
		{"unknown fields are ignored", "PUT", write, `{"data":{},"nope":{"x":1}}`, "application/json", 200},
		{"a charset", "PUT", write, `{"data":{}}`, "application/json; charset=UTF-8", 200},
		{"another charset", "PUT", write, `{"data":{}}`, "application/json; charset=utf-16", 400},
		{"a form", "PUT", write, `{"data":{}}`, "application/x-www-form-urlencoded", 400},
		{"no content type", "PUT", write, `{"data":{}}`, "", 400},
		{"a broken content type", "PUT", write, `{"data":{}}`, "application/json;;;=", 400},
		{"a list", "PUT", write, `[]`, "application/json", 400},
		{"null", "PUT", write, `null`, "application/json", 200},
		{"a field of the wrong type", "PUT", write, `{"options":{"max_versions":"many"}}`, "application/json", 400},
	} {
		w := f.do(t, test.method, test.target, test.body, "Content-Type", test.contentType)
		if w.Code != test.status {
			t.Errorf("%s: %d %s", test.name, w.Code, w.Body)
		}
		if test.status != http.StatusOK {
			envelope(t, w)
		}
	}
	w := f.do(t, "PUT", write, `{"options":{"max_versions":"many"}}`)
	if e := envelope(t, w); e.Details["field"] != "options.max_versions" {
		t.Errorf("details %v", e.Details)
	}
}

// Numbers beyond int64 go through as they were written, in data and in metadata.
func TestNumbersStayAsWritten(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	const number = "123456789012345678901234567890.10"
	w := f.do(t, "PUT", "/v1/secrets/a", `{"data":{"n":`+number+`},"metadata":{"n":`+number+`}}`)
	if got := strings.Count(w.Body.String(), number); w.Code != http.StatusOK || got != 2 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}
