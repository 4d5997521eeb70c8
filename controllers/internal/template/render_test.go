package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"runtime"
	"strings"
	"testing"
	"time"
)

const secret = "hunter2-value"

func sources() map[string]any {
	return map[string]any{"db": map[string]any{
		"user": "bill", "password": secret, "port": json.Number("5432"), "big": json.Number("123456789012345678901234567890"),
		"hosts": []any{"a", "b"}, "tls": true, "doc": `{"x":[1,2]}`, "b64": "aGVsbG8",
	}}
}

// frozenClock never runs out; the time limit has its own test.
func frozenClock() time.Time { return time.Unix(0, 0) }

// Each sample is rendered twice: the functions are deterministic.
func TestSamples(t *testing.T) {
	cases := []struct{ text, want string }{
		{"plain", "plain"},
		{"postgres://{{ .db.user }}:{{ .db.password | urlquery }}@h:{{ .db.port }}", "postgres://bill:hunter2-value@h:5432"},
		{"{{ .db.big }}", "123456789012345678901234567890"},
		{`{{ range .db.hosts }}{{ . }},{{ end }}`, "a,b,"},
		{`{{ range $i, $h := .db.hosts }}{{ if $i }} {{ end }}{{ $h }}{{ end }}`, "a b"},
		{`{{ join "," .db.hosts | upper }}`, "A,B"},
		{`{{ .db.b64 | b64dec }}`, "hello"},
		{`{{ "x" | b64enc }}`, "eA=="},
		{`{{ (fromJson .db.doc).x | toJson }}`, "[1,2]"},
		{`{{ index .db "user" }}`, "bill"},
		{`{{ index .db "none" | default "d" }}`, "d"},
		{`{{ if eq .db.port 5432 }}yes{{ end }}`, "yes"},
		{`{{ if and (gt .db.port 80) (ne .db.user "x") .db.tls }}yes{{ end }}`, "yes"},
		{`{{ printf "%s-%05d" .db.user 42 }}`, "bill-00042"},
		{`{{ printf "100%% %q" .db.user }}`, `100% "bill"`},
		{`{{ quote .db.user }}`, `"bill"`},
		{`{{ "a\nb" | nindent 2 }}`, "\n  a\n  b"},
		{`{{ replace "l" "L" .db.user | trimPrefix "b" | trimSuffix "L" }}`, "iL"},
		{`{{ range keys .db }}{{ . }} {{ end }}`, "b64 big doc hosts password port tls user "},
		{`{{ range split "." "a.b" }}[{{ . }}]{{ end }}`, "[a][b]"},
		{`{{ with .db }}{{ .user }}{{ else }}none{{ end }}{{/* comment */}}`, "bill"},
		{`{{ $u := .db.user }}{{ range 3 }}{{ if eq . 2 }}{{ break }}{{ end }}{{ $u }}{{ end }}`, "billbill"},
	}
	for _, c := range cases {
		for range 2 {
			got, err := Render(c.text, sources(), frozenClock)
			if err != nil || string(got) != c.want {
				t.Errorf("%s\n got %q %v\nwant %q", c.text, got, err, c.want)
			}
		}
	}
}

// Mistake 12: a template has no way to anything but its sources (CVE-2026-22822: a template function read
// Secrets of other namespaces with the operator's rights). No function outside the list, and none on
// the list whose name speaks of input, output, a clock or chance.
func TestMistake12TemplateHasNoIO(t *testing.T) {
	for _, fn := range []string{
		"getSecretKey", "lookup", "env", "expandenv", "getHostByName", "readFile", "include", "tpl", "call",
		"now", "date", "ago", "htmlDate", "randAlphaNum", "randBytes", "uuidv4", "genPrivateKey", "html", "js", stepFunc,
	} {
		if err := Check(`{{ ` + fn + ` "x" }}`); err == nil {
			t.Errorf("%s is allowed", fn)
		}
		if err := Check(`{{ if (` + fn + ` "x").y }}{{ end }}`); err == nil {
			t.Errorf("%s is allowed in a chain", fn)
		}
	}
	ours := (&budget{}).functions()
	for name := range ours {
		for _, bad := range []string{"rand", "now", "date", "time", "env", "file", "read", "host", "lookup", "http", "exec", "uuid", "gen"} {
			if allowed(name, ours) && strings.Contains(strings.ToLower(name), bad) {
				t.Errorf("%s is on the list", name)
			}
		}
	}
	for _, text := range []string{`{{ define "x" }}{{ end }}`, `{{ template "x" . }}`, `{{ block "x" . }}{{ end }}`} {
		if err := Check(text); err == nil {
			t.Errorf("%s is allowed", text)
		}
	}
}

// A template that loops or explodes is stopped by count, by size or by time, and soon.
func TestLimits(t *testing.T) {
	cases := []struct{ name, text, want string }{
		{"steps", `{{ range 1000000000 }}{{ end }}`, "range steps"},
		{"nested steps", `{{ range 5000 }}{{ range 5000 }}{{ end }}{{ end }}`, "range steps"},
		{"continue", `{{ range 1000000000 }}{{ continue }}{{ end }}`, "range steps"},
		{"else", `{{ range 0 }}{{ else }}{{ range 20000 }}{{ end }}{{ end }}`, "range steps"},
		{"output", `{{ range 9999 }}{{ printf "%99d%99d" 1 1 }}{{ end }}`, "more than 1048576 bytes"},
		{"doubling", `{{ $x := "aaaaaaaaaaaaaaaa" }}{{ range 9999 }}{{ $x = print $x $x }}{{ end }}`, "more than 1048576 bytes"},
		{"replace", `{{ $x := printf "%99d%99d" 1 1 }}{{ range 99 }}{{ $x = replace " " "          " $x }}{{ end }}`, "more than 1048576 bytes"},
		{"indent", `{{ $x := "\n" }}{{ range 99 }}{{ $x = indent 100 (print $x "\n" $x) }}{{ end }}`, "more than 1048576 bytes"},
		{"width", `{{ printf "%999999999d" 1 }}`, "width"},
		{"star", `{{ printf "%*d" 999999999 1 }}`, "verbs"},
		{"argument twice", `{{ printf "%[1]s%[1]s" "x" }}`, "verbs"},
		{"negative indent", `{{ indent -1 "x" }}`, "0 to 100"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			_, err := Render(c.text, sources(), time.Now)
			if err == nil || !strings.Contains(err.Error(), c.want) && !strings.Contains(err.Error(), "takes longer") {
				t.Fatalf("got %v, want %q", err, c.want)
			}
		})
	}
}

// The time limit holds by the clock, without another goroutine that would be left behind.
func TestTimeLimit(t *testing.T) {
	before := runtime.NumGoroutine()
	ticks := 0
	clock := func() time.Time { // every look at it takes a millisecond
		ticks++
		return time.UnixMilli(int64(ticks))
	}
	_, err := Render(`{{ range 9000 }}{{ end }}`, sources(), clock)
	if err == nil || !strings.Contains(err.Error(), "takes longer than 100ms") {
		t.Fatal(err)
	}
	if ticks > 110 {
		t.Fatalf("went on for %d ms", ticks)
	}
	if after := runtime.NumGoroutine(); after > before {
		t.Fatalf("%d goroutines, %d before", after, before)
	}
}

// Mistakes 38 and 39: no error holds a value, whatever the template does with it.
func TestMistake39ErrorsHoldNoValue(t *testing.T) {
	for _, text := range []string{
		`{{ range .db.password }}{{ end }}`, `{{ .db.password.x }}`, `{{ index .db.password 99 }}`, `{{ index .db.hosts .db.password }}`,
		`{{ fromJson .db.password }}`, `{{ b64dec (print .db.password "!") }}`, `{{ printf .db.password .db.password }}`,
		`{{ slice .db.password 1 99 }}`, `{{ join "," .db.password }}`, `{{ lt .db.password 3 }}`, `{{ indent .db.password "x" }}`,
		`{{ required .db.password "" }}`, `{{ "" | required (print .db.password) }}`, `{{ required "why" "" }}`,
		`{{ .db.missing }}`, `{{ .nope.x }}`, `{{ len 3 }}`, `{{ keys .db.password }}`, `{{ call .db.password }}`, `{{ (index .db .db.password).x }}`,
	} {
		_, err := Render(text, sources(), frozenClock)
		if err == nil {
			t.Errorf("%s passes", text)
			continue
		}
		if strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s leaks: %v", text, err)
		}
		var own *Error
		if !errors.As(err, &own) {
			t.Errorf("%s: %T", text, err)
		}
	}
	_, err := Render(`{{ .db.missing }}`, sources(), frozenClock)
	if want := `fails at line 1:6 <.db.missing>: there is no field "missing"`; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

// FuzzRender: never a panic, never over a limit, the same result twice, no value in an error.
func FuzzRender(f *testing.F) {
	for _, s := range []string{
		`{{ .db.user }}`, `{{ range 10 }}{{ . }}{{ end }}`, `{{ $x := "a" }}{{ range 99 }}{{ $x = print $x $x }}{{ end }}`,
		`{{ printf "%5s" .db.password }}`, `{{ fromJson .db.doc | toJson | quote }}`, `{{ index .db.hosts 1 }}`, `{{ range .db.password }}{{ end }}`,
		`{{ with $y := .db }}{{ $y.user | replace "b" "bb" | indent 4 }}{{ end }}`, `{{ slice .db.user 1 2 }}`, `{{ lt 1 .db.port }}`,
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 1<<16 {
			return
		}
		start := time.Now()
		first, err := Render(text, sources(), frozenClock)
		if took := time.Since(start); took > 20*time.Second {
			t.Fatalf("took %s", took)
		}
		if len(first) > OutputLimit {
			t.Fatalf("%d bytes", len(first))
		}
		if err != nil && strings.Contains(err.Error(), secret) && !strings.Contains(text, secret) {
			t.Fatalf("leaks: %v", err)
		}
		second, again := Render(text, sources(), frozenClock)
		if !bytes.Equal(first, second) || (err == nil) != (again == nil) {
			t.Fatalf("differs: %q %v, %q %v", first, err, second, again)
		}
	})
}
