package secrets

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/fault"
)

func TestDataIsKeptAsWritten(t *testing.T) {
	tests := map[string]string{
		`{}`:                                   `{}`,
		` { "a" : 1 } `:                        `{"a":1}`,
		`{"n":123456789012345678901234567890}`: `{"n":123456789012345678901234567890}`,
		`{"n":1.10,"e":1E+2,"z":-0}`:           `{"n":1.10,"e":1E+2,"z":-0}`,
		`{"s":"\u0041<&>\\\""}`:                `{"s":"\u0041<&>\\\""}`,
		"{\"a\":[1, 2,\n{\"b\":null}]}":        `{"a":[1,2,{"b":null}]}`,
		`{"a":{"a":1},"b":{"a":1},"c":[{"a":1},{"a":1}]}`: `{"a":{"a":1},"b":{"a":1},"c":[{"a":1},{"a":1}]}`,
	}
	for in, want := range tests {
		got, err := compactData(json.RawMessage(in))
		if err != nil || string(got) != want {
			t.Errorf("%s: %s, %v, want %s", in, got, err, want)
		}
	}
}

func TestDataIsRefused(t *testing.T) {
	many := make([]string, 0, 100)
	for i := range 100 {
		many = append(many, fmt.Sprintf(`"k%d":1`, i))
	}
	tests := map[string]struct{ in, field string }{
		"absent":                 {``, "data"},
		"null":                   {`null`, "data"},
		"list":                   {`[1]`, "data"},
		"string":                 {`"a"`, "data"},
		"cut":                    {`{"a":`, "data"},
		"two values":             {`{} {}`, "data"},
		"raw newline":            {"{\"a\":\"x\ny\"}", "data"},
		"not UTF-8":              {"{\"a\":\"\xff\"}", "data"},
		"twice":                  {`{"a":1,"a":2}`, "data.a"},
		"twice, escaped":         {`{"a":1,"\u0061":2}`, "data.a"},
		"twice below":            {`{"x":{"y":[0,{"a":1,"b":2,"a":3}]}}`, "data.x.y[1].a"},
		"twice among many":       {"{" + strings.Join(many, ",") + `,"k7":2}`, "data.k7"},
		"twice, last of many":    {"{" + strings.Join(many, ",") + `,"k99":2}`, "data.k99"},
		"twice behind an object": {`{"a":{"b":1},"c":{},"a":2}`, "data.a"},
		"empty name twice":       {`{"":1,"":2}`, "data."},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := compactData(json.RawMessage(test.in))
			if !fault.Is(err, fault.CodeInvalidRequest) || fault.From(err).Kind != fault.KindInvalid || fault.From(err).Details["field"] != test.field {
				t.Errorf("got %v with %v, want invalid_request about %s", err, fault.From(err).Details, test.field)
			}
		})
	}
}

func nested(levels int) string {
	return `{"a":` + strings.Repeat(`{"a":`, levels-1) + "1" + strings.Repeat("}", levels)
}

// TestMistake43DeepOrHugeDataIsRefused: JSON within the size limit exhausted memory (CVE-2025-6203, -59043).
func TestMistake43DeepOrHugeDataIsRefused(t *testing.T) {
	if _, err := compactData(json.RawMessage(nested(maxDepth))); err != nil {
		t.Errorf("%d levels: %v", maxDepth, err)
	}
	lists := `{"a":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + "}"
	for name, in := range map[string]string{"objects": nested(maxDepth + 1), "very deep": nested(9_000), "deeper than the decoder": nested(20_000), "lists": lists} {
		if _, err := compactData(json.RawMessage(in)); !fault.Is(err, fault.CodeInvalidRequest) || fault.From(err).Kind != fault.KindInvalid {
			t.Errorf("%s: %v", name, err)
		} else if len(err.Error()) > 2000 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
	fill := func(n int) json.RawMessage { return json.RawMessage(`{"a":"` + strings.Repeat("x", n-8) + `"}`) }
	if _, err := compactData(fill(maxData)); err != nil {
		t.Errorf("1 MiB: %v", err)
	}
	if _, err := compactData(fill(maxData + 1)); fault.From(err).Kind != fault.KindTooLarge || !fault.Is(err, fault.CodeInvalidRequest) {
		t.Errorf("1 MiB and a byte: %v", err)
	}
	wide := json.RawMessage("{" + strings.Repeat(`"a":{},`, 1) + `"b":[` + strings.TrimSuffix(strings.Repeat(`{"a":1},`, 100_000), ",") + "]}")
	if allocs := testing.AllocsPerRun(1, func() { _, _ = compactData(wide) }); allocs > 500_000 {
		t.Errorf("%v allocations for %d bytes", allocs, len(wide))
	}
}

// TestMistake37MalformedDataIsNotQuoted: a malformed payload echoed a secret into logs (CVE-2025-4166, -52893).
func TestMistake37MalformedDataIsNotQuoted(t *testing.T) {
	for _, in := range []string{
		`{"password":hunter2-canary}`, `{"password":"hunter2-canary`, `"hunter2-canary"`, `[ "hunter2-canary" ]`, `hunter2-canary`,
		`{"p":"hunter2-canary","p":"hunter2-canary"}`, "{\"p\":\"hunter2-canary\xff\"}", `{"p":"hunter2-canary"} x`, `{"p":hunter2-canary\u}`,
	} {
		_, err := compactData(json.RawMessage(in))
		if err == nil {
			t.Errorf("%s was accepted", in)
			continue
		}
		if strings.Contains(fmt.Sprintf("%v %+v", err, fault.From(err)), "hunter2") {
			t.Errorf("the error quotes the value: %v", err)
		}
	}
}

func FuzzCompactData(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1,"a":2}`, `{"a":[{"b":"\\\""}],"c":-1.5e9}`, `{"\ud800":1}`, nested(70), `[`, `{"a":"\u0000"}`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, err := compactData(in)
		if err != nil {
			return
		}
		var compact bytes.Buffer
		if err := json.Compact(&compact, in); err != nil || !bytes.Equal(bytes.TrimSpace(compact.Bytes()), out) {
			t.Fatalf("%q became %q (%v)", in, out, err)
		}
		if dup := duplicate(t, out); dup != "" {
			t.Fatalf("%q was accepted although %q occurs twice", in, dup)
		}
	})
}

// duplicate finds a name that occurs twice in an object by counting tokens: a second opinion.
func duplicate(t *testing.T, in []byte) string {
	t.Helper()
	var objects []map[string]bool
	var name []bool // whether the next token of an object is a name
	d := json.NewDecoder(bytes.NewReader(in))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return ""
		}
		top := len(objects) - 1
		if token == json.Delim('}') || token == json.Delim(']') {
			objects, name = objects[:top], name[:top]
			continue
		}
		if top >= 0 && objects[top] != nil {
			if name[top] {
				key := token.(string)
				if objects[top][key] {
					return key
				}
				objects[top][key], name[top] = true, false
				continue
			}
			name[top] = true
		}
		switch token {
		case json.Delim('{'):
			objects, name = append(objects, map[string]bool{}), append(name, true)
		case json.Delim('['):
			objects, name = append(objects, nil), append(name, false)
		}
	}
}
