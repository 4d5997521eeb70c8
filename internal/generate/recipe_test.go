package generate_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	mathrand "math/rand/v2"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"golang.org/x/crypto/bcrypt"
	"golang.org/x/crypto/ssh"

	"github.com/scailabs/scaivault/internal/generate"
)

var noon = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)

// drawn is a source of randomness that is the same in every run.
func drawn(seed byte) io.Reader { return mathrand.NewChaCha8([32]byte{seed}) }

func field(name, generator, config string) generate.Field {
	return generate.Field{Name: name, Generator: generator, Config: func() json.RawMessage { return json.RawMessage(config) }}
}

// made generates a recipe of one field and returns what it wrote as strings.
func made(t *testing.T, f generate.Field) map[string]string {
	t.Helper()
	r, err := generate.Parse([]generate.Field{f})
	if err != nil {
		t.Fatalf("Parse: %v", err)
	}
	result, err := r.Generate(drawn(1), noon)
	if err != nil {
		t.Fatalf("Generate: %v", err)
	}
	if got := len(result.Reveal()); got != len(r.Names()) {
		t.Errorf("%d fields made, %d announced", got, len(r.Names()))
	}
	values := map[string]string{}
	for name, raw := range result.Reveal() {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			s = string(raw)
		}
		values[name] = s
	}
	return values
}

func TestGeneratorsMakeWhatTheyPromise(t *testing.T) {
	tests := []struct{ generator, config, want string }{
		{"random", ``, `^[a-zA-Z0-9]{32}$`},
		{"random", `null`, `^[a-zA-Z0-9]{32}$`},
		{"random", `{"length":null}`, `^[a-zA-Z0-9]{32}$`},
		{"random", `{"length":1}`, `^[a-zA-Z0-9]$`},
		{"random", `{"length":1000,"charset":"ascii"}`, `^[!-~]{1000}$`},
		{"random", `{"charset":"alpha"}`, `^[a-zA-Z]{32}$`},
		{"random", `{"charset":"numeric","length":6}`, `^[0-9]{6}$`},
		{"random", `{"charset":"hex"}`, `^[0-9a-f]{32}$`},
		{"random", `{"charset":"safe","length":1000}`, "^[^0Oo1lIi|'\"`\\\\ $.,:;]{1000}$"},
		{"random", `{"require_symbol":true,"length":8}`, `[%+\-=@_^]`},
		{"hex", ``, `^[0-9a-f]{64}$`},
		{"hex", `{"length":7}`, `^[0-9a-f]{7}$`},
		{"uuid", ``, `^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{"uuid", `{"version":7}`, `^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`},
		{"template", `{"template":"sk_{{timestamp}}_{{random:24}}"}`, `^sk_1795521600_[a-zA-Z0-9]{24}$`},
		{"template", `{"template":"{\"k\":{\"v\":\"{{hex:8}}\"}}"}`, `^\{"k":\{"v":"[0-9a-f]{8}"\}\}$`},
		{"template", `{"template":"{{uuid}}{{uuid}}"}`, `^[0-9a-f-]{72}$`},
		{"template", `{"template":"a}}b{c}"}`, `^a\}\}b\{c\}$`},
		{"static", `{"value":"db.internal"}`, `^db\.internal$`},
		{"static", `{"value":5432}`, `^5432$`},
		{"static", `{"value":12345678901234567890.10}`, `^12345678901234567890\.10$`},
		{"static", `{"value":"{{random:8}}"}`, `^\{\{random:8\}\}$`},
		{"static", `{"value":"<a&b>"}`, `^<a&b>$`},
	}
	for _, tt := range tests {
		t.Run(tt.generator+tt.config, func(t *testing.T) {
			if got := made(t, field("f", tt.generator, tt.config))["f"]; !regexp.MustCompile(tt.want).MatchString(got) {
				t.Errorf("%s does not match %s", got, tt.want)
			}
		})
	}
}

func TestUUIDsAreWhatALibraryReads(t *testing.T) {
	id, err := uuid.Parse(made(t, field("f", "uuid", `{"version":7}`))["f"])
	if err != nil {
		t.Fatal(err)
	}
	if sec, _ := id.Time().UnixTime(); sec != noon.Unix() || id.Variant() != uuid.RFC4122 || id.Version() != 7 {
		t.Errorf("%s: time %d, variant %s, version %s", id, sec, id.Variant(), id.Version())
	}
}

func TestRequirementsAreMet(t *testing.T) {
	for _, charset := range []string{"safe", "ascii"} {
		r, err := generate.Parse([]generate.Field{field("f", "random",
			`{"length":4,"charset":"`+charset+`","require_upper":true,"require_lower":true,"require_digit":true,"require_symbol":true}`)})
		if err != nil {
			t.Fatal(err)
		}
		from := drawn(2)
		for range 2000 {
			result, err := r.Generate(from, noon)
			if err != nil {
				t.Fatal(err)
			}
			var got string
			if err := json.Unmarshal(result.Reveal()["f"], &got); err != nil {
				t.Fatal(err)
			}
			for _, class := range []string{`[a-z]`, `[A-Z]`, `[0-9]`, `[^a-zA-Z0-9]`} {
				if !regexp.MustCompile(class).MatchString(got) {
					t.Fatalf("%s: %q has none of %s", charset, got, class)
				}
			}
		}
	}
}

func TestKeyPairsBelongTogether(t *testing.T) {
	for _, config := range []string{``, `{"bits":4096}`} {
		pair := made(t, field("private_key", "rsa_keypair", config))
		key, ok := privateKey(t, pair["private_key"]).(*rsa.PrivateKey)
		if !ok || !key.PublicKey.Equal(publicKey(t, pair["public_key"])) || key.N.BitLen() != map[string]int{``: 2048, `{"bits":4096}`: 4096}[config] {
			t.Errorf("rsa_keypair %s: not a pair of that size", config)
		}
	}
	for config, curve := range map[string]string{``: "P-256", `{"curve":"P-384"}`: "P-384"} {
		pair := made(t, field("tls", "ec_keypair", config))
		key, ok := privateKey(t, pair["tls"]).(*ecdsa.PrivateKey)
		if !ok || !key.PublicKey.Equal(publicKey(t, pair["tls_public"])) || key.Curve.Params().Name != curve {
			t.Errorf("ec_keypair %s: not a pair on %s", config, curve)
		}
	}
	for config, kind := range map[string]string{`{"comment":"deploy@ci"}`: "ssh-ed25519", `{"key_type":"rsa","comment":"deploy@ci"}`: "ssh-rsa"} {
		pair := made(t, field("tls_private_key", "ssh_keypair", config))
		signer, err := ssh.ParsePrivateKey([]byte(pair["tls_private_key"]))
		if err != nil {
			t.Fatal(err)
		}
		public, comment, _, rest, err := ssh.ParseAuthorizedKey([]byte(pair["tls_public_key"]))
		if err != nil || len(rest) > 0 {
			t.Fatalf("%v, rest %q", err, rest)
		}
		if comment != "deploy@ci" || public.Type() != kind || !bytes.Equal(public.Marshal(), signer.PublicKey().Marshal()) {
			t.Errorf("ssh_keypair %s: comment %q, type %s", config, comment, public.Type())
		}
	}
}

func privateKey(t *testing.T, text string) any {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PRIVATE KEY" || len(rest) > 0 {
		t.Fatal("not one PRIVATE KEY in PEM")
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func publicKey(t *testing.T, text string) any {
	t.Helper()
	block, rest := pem.Decode([]byte(text))
	if block == nil || block.Type != "PUBLIC KEY" || len(rest) > 0 {
		t.Fatal("not one PUBLIC KEY in PEM")
	}
	key, err := x509.ParsePKIXPublicKey(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func TestBcryptHashIsOfItsPassword(t *testing.T) {
	got := made(t, field("password", "bcrypt_hash", `{"length":72,"rounds":5}`))
	if len(got["password"]) != 72 {
		t.Errorf("password of %d bytes", len(got["password"]))
	}
	if err := bcrypt.CompareHashAndPassword([]byte(got["password_hash"]), []byte(got["password"])); err != nil {
		t.Error(err)
	}
	if cost, err := bcrypt.Cost([]byte(got["password_hash"])); err != nil || cost != 5 {
		t.Errorf("cost %d, %v", cost, err)
	}
	named := made(t, field("password", "bcrypt_hash", `{"rounds":4,"hash_field":"htpasswd"}`))
	if named["htpasswd"] == "" {
		t.Errorf("hash_field is not used")
	}
}

func TestWhatCannotBeMetIsRefused(t *testing.T) {
	many := make([]generate.Field, generate.MaxFields+1)
	slow := make([]generate.Field, generate.MaxSlow+1)
	for i := range many {
		many[i] = field(fmt.Sprint("f", i), "uuid", "")
	}
	for i := range slow {
		slow[i] = field(fmt.Sprint("f", i), "rsa_keypair", "")
	}
	tests := []struct {
		name   string
		fields []generate.Field
		where  string
		rule   string // part of it
	}{
		{"no fields", nil, "fields", "1 to 32"},
		{"too many fields", many, "fields", "1 to 32"},
		{"too much work", slow, "fields", "at most 4"},
		{"no name", one("", "uuid", ``), "fields[0].name", "1 to 128"},
		{"name with a slash", one("a/b", "uuid", ``), "fields[0].name", "1 to 128"},
		{"name too long", one(strings.Repeat("a", 129), "uuid", ``), "fields[0].name", "1 to 128"},
		{"twice", []generate.Field{field("a", "uuid", ``), field("a", "hex", ``)}, "fields[1].name", "fields[0] writes it already"},
		{"twice by a pair", []generate.Field{field("a", "ec_keypair", ``), field("a_public", "hex", ``)}, "fields[1].name", "fields[0] writes it already"},
		{"pair in one field", one("a", "ec_keypair", `{"public_field":"a"}`), "fields[0].name", "twice"},
		{"pair with a bad name", one("a", "ec_keypair", `{"public_field":"a b"}`), "fields[0].config.public_field", "1 to 128"},
		{"no generator", one("a", "", ``), "fields[0].generator", "must be random"},
		{"unknown generator", one("a", "rand", `{"length":3}`), "fields[0].generator", "must be random"},
		{"config is a list", one("a", "random", `[]`), "fields[0].config", "JSON object"},
		{"config is broken", one("a", "random", `{"length":`), "fields[0].config", "JSON object"},
		{"misspelt setting", one("a", "random", `{"lengths":64}`), "fields[0].config.lengths", "no such setting"},
		{"setting of another generator", one("a", "hex", `{"charset":"ascii"}`), "fields[0].config.charset", "hex has no such setting"},
		{"hostile setting", one("a", "hex", `{"a\nb`+strings.Repeat("x", 100)+`":1}`), `fields[0].config.a\nb` + strings.Repeat("x", 61), "no such setting"},
		{"length 0", one("a", "random", `{"length":0}`), "fields[0].config.length", "1 to 4096"},
		{"length negative", one("a", "random", `{"length":-1}`), "fields[0].config.length", "1 to 4096"},
		{"length huge", one("a", "random", `{"length":4097}`), "fields[0].config.length", "1 to 4096"},
		{"length beyond numbers", one("a", "hex", `{"length":99999999999999999999999}`), "fields[0].config.length", "whole number"},
		{"length a fraction", one("a", "hex", `{"length":1.5}`), "fields[0].config.length", "whole number"},
		{"length a string", one("a", "hex", `{"length":"32"}`), "fields[0].config.length", "whole number"},
		{"unknown charset", one("a", "random", `{"charset":"nordic"}`), "fields[0].config.charset", "alphanumeric, alpha, numeric, hex, safe or ascii"},
		{"symbol of letters", one("a", "random", `{"charset":"alphanumeric","require_symbol":true}`), "fields[0].config.require_symbol", "charset alphanumeric has no such character"},
		{"upper case of hex", one("a", "random", `{"charset":"hex","require_upper":true}`), "fields[0].config.require_upper", "charset hex has no"},
		{"lower case of digits", one("a", "random", `{"charset":"numeric","require_lower":true}`), "fields[0].config.require_lower", "charset numeric has no"},
		{"digit of letters", one("a", "random", `{"charset":"alpha","require_digit":true}`), "fields[0].config.require_digit", "charset alpha has no"},
		{"too short for three", one("a", "random", `{"length":2,"require_upper":true,"require_lower":true,"require_digit":true}`), "fields[0].config.length", "at least 3"},
		{"flag a string", one("a", "random", `{"require_digit":"yes"}`), "fields[0].config.require_digit", "true or false"},
		{"uuid of another version", one("a", "uuid", `{"version":1}`), "fields[0].config.version", "4 or 7"},
		{"template missing", one("a", "template", ``), "fields[0].config.template", "required"},
		{"template open", one("a", "template", `{"template":"ab{{uuid"}`), "fields[0].config.template", "position 2: {{ is not closed"},
		{"template unknown", one("a", "template", `{"template":"{{env}}"}`), "fields[0].config.template", "position 0: a placeholder is"},
		{"template with blanks", one("a", "template", `{"template":"{{ uuid }}"}`), "fields[0].config.template", "without blanks"},
		{"template of Go", one("a", "template", `{"template":"{{range .}}{{end}}"}`), "fields[0].config.template", "a placeholder is"},
		{"template nested", one("a", "template", `{"template":"{{random:{{hex:1}}}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template three braces", one("a", "template", `{"template":"{{{uuid}}}"}`), "fields[0].config.template", "a placeholder is"},
		{"template N 0", one("a", "template", `{"template":"{{random:0}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template N padded", one("a", "template", `{"template":"{{random:08}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template N negative", one("a", "template", `{"template":"{{hex:-8}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template N missing", one("a", "template", `{"template":"{{hex:}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template N huge", one("a", "template", `{"template":"{{random:1025}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template N beyond numbers", one("a", "template", `{"template":"{{random:999999999999999999999}}"}`), "fields[0].config.template", "from 1 to 1024"},
		{"template multiplied", one("a", "template", `{"template":"`+strings.Repeat("{{random:1024}}", 17)+`"}`), "fields[0].config.template", "would become 17408 bytes"},
		{"template long", one("a", "template", `{"template":"`+strings.Repeat("a", 4097)+`"}`), "fields[0].config.template", "at most 4096"},
		{"rsa of few bits", one("a", "rsa_keypair", `{"bits":1024}`), "fields[0].config.bits", "2048 or 4096"},
		{"rsa of many bits", one("a", "rsa_keypair", `{"bits":1048576}`), "fields[0].config.bits", "2048 or 4096"},
		{"unknown curve", one("a", "ec_keypair", `{"curve":"P-521"}`), "fields[0].config.curve", "P-256 or P-384"},
		{"unknown key type", one("a", "ssh_keypair", `{"key_type":"dsa"}`), "fields[0].config.key_type", "ed25519 or rsa"},
		{"comment that is a key", one("a", "ssh_keypair", `{"comment":"x\nssh-rsa AAAA attacker"}`), "fields[0].config.comment", "without line breaks"},
		{"comment too long", one("a", "ssh_keypair", `{"comment":"`+strings.Repeat("x", 257)+`"}`), "fields[0].config.comment", "256 bytes"},
		{"bcrypt beyond 72 bytes", one("a", "bcrypt_hash", `{"length":73}`), "fields[0].config.length", "1 to 72"},
		{"bcrypt of many rounds", one("a", "bcrypt_hash", `{"rounds":31}`), "fields[0].config.rounds", "4 to 14"},
		{"bcrypt of few rounds", one("a", "bcrypt_hash", `{"rounds":3}`), "fields[0].config.rounds", "4 to 14"},
		{"static without value", one("a", "static", `{}`), "fields[0].config.value", "required"},
		{"static null", one("a", "static", `{"value":null}`), "fields[0].config.value", "must be a string"},
		{"static object", one("a", "static", `{"value":{"a":1}}`), "fields[0].config.value", "must be a string"},
		{"static too long", one("a", "static", `{"value":"`+strings.Repeat("x", 64<<10)+`"}`), "fields[0].config.value", "at most 65536"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := generate.Parse(tt.fields)
			var bad *generate.Invalid
			if !errors.As(err, &bad) {
				t.Fatalf("Parse = %v", err)
			}
			if len(bad.Fields) != 1 || !strings.Contains(bad.Fields[tt.where], tt.rule) {
				t.Errorf("got %q, want %s: … %s …", bad.Fields, tt.where, tt.rule)
			}
		})
	}
}

func one(name, generator, config string) []generate.Field {
	return []generate.Field{field(name, generator, config)}
}

func TestAllThatIsWrongIsToldAtOnce(t *testing.T) {
	_, err := generate.Parse([]generate.Field{
		field("a", "random", `{"length":0,"charset":"x"}`),
		field("b c", "uuid", ``),
	})
	const want = "fields[0].config.charset: must be alphanumeric, alpha, numeric, hex, safe or ascii; " +
		"fields[0].config.length: must be 1 to 4096; fields[1].name: 1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen"
	if err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// A refusal must not tell what a static value is.
func TestErrorsQuoteNoValue(t *testing.T) {
	const value = "hunter2hunter2"
	for _, config := range []string{
		`{"value":["` + value + `"]}`, `{"value":"` + value + `","x":1}`, `{"value":"` + value, `"` + value + `"`, `{"vaule":"` + value + `"}`,
	} {
		_, err := generate.Parse(one("a", "static", config))
		if err == nil || strings.Contains(err.Error(), value) {
			t.Errorf("%s: %v", config, err)
		}
	}
}

func TestDefaultChoosesTheField(t *testing.T) {
	for _, tt := range []struct {
		fields []string
		want   string
	}{
		{[]string{"host", "password"}, "password"}, {[]string{"token"}, "token"}, {nil, "value"}, {[]string{"a", "b"}, "value"},
	} {
		r := generate.Default(tt.fields)
		result, err := r.Generate(rand.Reader, noon)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(result.Reveal()[tt.want]); !regexp.MustCompile(`^"[a-zA-Z0-9]{32}"$`).MatchString(got) || !r.Random() || r.Slow() {
			t.Errorf("%v: %s is %s", tt.fields, tt.want, got)
		}
	}
}

func TestOverKeepsTheOtherFields(t *testing.T) {
	r, err := generate.Parse([]generate.Field{field("password", "static", `{"value":"<new>"}`), field("port", "static", `{"value":1}`)})
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Generate(drawn(1), noon)
	if err != nil {
		t.Fatal(err)
	}
	for old, want := range map[string]string{
		`{"password":"old","host":{"a": 12345678901234567890},"port":2}`: `{"host":{"a":12345678901234567890},"password":"<new>","port":1}`,
		``: `{"password":"<new>","port":1}`,
	} {
		got, err := result.Over(json.RawMessage(old))
		if err != nil || string(got) != want {
			t.Errorf("Over(%s) = %s, %v", old, got, err)
		}
	}
	for _, broken := range []string{`["secret"]`, `{"secret"`, `null`} {
		if _, err := result.Over(json.RawMessage(broken)); err == nil || strings.Contains(err.Error(), "secret\"") {
			t.Errorf("Over(%s): %v", broken, err)
		}
	}
}

func TestWhatARecipeTellsOfItself(t *testing.T) {
	for _, tt := range []struct {
		generator, config string
		random, slow      bool
	}{
		{"static", `{"value":1}`, false, false},
		{"template", `{"template":"a{{timestamp}}"}`, false, false},
		{"template", `{"template":"a{{hex:4}}"}`, true, false},
		{"uuid", ``, true, false},
		{"ssh_keypair", ``, true, false},
		{"ssh_keypair", `{"key_type":"rsa"}`, true, true},
		{"rsa_keypair", ``, true, true},
		{"bcrypt_hash", ``, true, true},
	} {
		r, err := generate.Parse(one("a", tt.generator, tt.config))
		if err != nil || r.Random() != tt.random || r.Slow() != tt.slow {
			t.Errorf("%s %s: random %t, slow %t, %v", tt.generator, tt.config, r.Random(), r.Slow(), err)
		}
	}
}

// Nothing that prints, prints what was made or a static value, wherever it sits.
func TestResultsAndRecipesDoNotPrint(t *testing.T) {
	const value = "hunter2hunter2"
	fields := one("a", "static", `{"value":"`+value+`"}`)
	recipe, err := generate.Parse(fields)
	if err != nil {
		t.Fatal(err)
	}
	result, err := recipe.Generate(drawn(1), noon)
	if err != nil {
		t.Fatal(err)
	}
	holder := struct {
		fields []generate.Field
		recipe generate.Recipe
		result generate.Result
	}{fields, recipe, result}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "result", result)
	text, err := json.Marshal(result)
	if err != nil {
		t.Fatal(err)
	}
	printed := fmt.Sprintf("%v %+v %#v %s %x %v", holder, holder, holder, result, result, &holder) + log.String() + string(text)
	for _, hidden := range []string{value, fmt.Sprintf("%x", value), fmt.Sprint([]byte(value))} {
		if strings.Contains(printed, hidden) {
			t.Errorf("printed %q in %s", hidden, printed)
		}
	}
}
