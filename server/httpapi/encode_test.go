package httpapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/secrets"
)

// decoded makes JSON comparable, with numbers as written.
func decoded(t testing.TB, raw []byte) any {
	t.Helper()
	if err := checkJSON(raw); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		t.Fatalf("%v: %s", err, raw)
	}
	return v
}

func marshalled(t testing.TB, v any) any {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return decoded(t, raw)
}

func examples() []vaultapi.SecretInfo {
	expires, accessed, rotation := vaultapi.AtMicros(1_800_000_000_000_001), vaultapi.AtMicros(1), "rot_x"
	full := exampleSecret("a/b").SecretInfo
	full.ExpiresAt, full.LastAccessedAt, full.RotationPolicyID = &expires, &accessed, &rotation
	full.NotifyBefore = "30d,7d,1d"
	full.VersionCount, full.MaxVersions, full.AccessCount30d = 3, 10, 12345
	full.Metadata = map[string]any{
		"nothing": nil, "yes": true, "text": "<a href=\"x\">\u2028\x00\x7f\\é\xff", "list": []any{json.Number("1"), "b", map[string]any{}},
		"deep": map[string]any{"b": json.Number("-1.50"), "a": false}, "go": 12, "float": 1.5, "strings": []string{"x"}, "kéy\n": "v",
	}
	return []vaultapi.SecretInfo{full, {Path: "x", Tags: []string{}}, {Path: `q"`, Tags: []string{"a", "b\t"}}}
}

// The hand-written encoders say what encoding/json would.
func TestAppendInfoAgreesWithEncodingJSON(t *testing.T) {
	for i, info := range examples() {
		if diff := cmp.Diff(marshalled(t, info), decoded(t, appendInfo(nil, &info))); diff != "" {
			t.Errorf("example %d: %s", i, diff)
		}
	}
}

func TestAppendSecretList(t *testing.T) {
	cursor := `c"1`
	for _, list := range []vaultapi.SecretList{
		{Secrets: []vaultapi.SecretInfo{}, Data: []vaultapi.SecretInfo{}},
		{Secrets: examples(), Data: examples(), Cursor: &cursor, HasMore: true},
	} {
		if diff := cmp.Diff(marshalled(t, list), decoded(t, appendSecretList(nil, list))); diff != "" {
			t.Error(diff)
		}
	}
}

func TestAppendSecretOpensTheValueAsWritten(t *testing.T) {
	s := exampleSecret("a/b")
	raw := appendSecret(nil, s)
	if !bytes.Contains(raw, []byte(`"data":`+storedValue)) {
		t.Errorf("the value was changed: %s", raw)
	}
	var wire vaultapi.Secret
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&wire); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(marshalled(t, s.SecretInfo), marshalled(t, wire.SecretInfo)); diff != "" {
		t.Error(diff)
	}
	if printed := fmt.Sprintf("%v %+v %#v", s.Data, s.Data, s.Data); bytes.Contains([]byte(printed), []byte("hunter2")) {
		t.Error("a value prints outside of the encoder")
	}
}

func TestAppendBatch(t *testing.T) {
	two := exampleSecret("a/c")
	two.Data = seal.NewPlaintext([]byte(`{}`))
	answer := batchAnswer{
		secrets: map[string]secrets.Secret{"a/b": exampleSecret("a/b"), "a/c": two}, metadata: true,
		errors: batchErrors(map[string]error{`No "path"`: fault.NotFound(fault.CodeSecretNotFound, "no secret"), "x": fmt.Errorf("db said hunter2")}),
	}
	got, ok := decoded(t, appendBatch(nil, answer)).(map[string]any)
	if !ok {
		t.Fatal("no object")
	}
	want := marshalled(t, map[string]any{
		`No "path"`: map[string]any{"code": "secret_not_found", "message": "no secret"},
		"x":         map[string]any{"code": "internal_error", "message": "internal error"},
	})
	if diff := cmp.Diff(want, got["errors"]); diff != "" {
		t.Error(diff)
	}
	read := got["secrets"].(map[string]any)["a/b"].(map[string]any)
	if read["etag"] != "abc" || read["secret_type"] != "json" || read["metadata"] == nil || read["data"].(map[string]any)["url"] == nil || read["expires_at"] != nil || len(read) != 6 {
		t.Errorf("a/b is %v", read)
	}
	answer.metadata = false
	got = decoded(t, appendBatch(nil, answer)).(map[string]any)
	if read := got["secrets"].(map[string]any)["a/b"].(map[string]any); read["metadata"] != nil {
		t.Error("metadata that was not asked for")
	}
	described := appendBatchMetadata(nil, vaultapi.BatchMetadataResponse{
		Secrets: map[string]vaultapi.SecretInfo{"a": examples()[0], "b": examples()[1]}, Errors: map[string]vaultapi.BatchError{},
	})
	if diff := cmp.Diff(marshalled(t, examples()[1]), decoded(t, described).(map[string]any)["secrets"].(map[string]any)["b"]); diff != "" {
		t.Error(diff)
	}
}

func FuzzAppendString(f *testing.F) {
	for _, s := range []string{"", "a", "\x00\x1f\"\\\n", "é\u2028\U0001F600", "\xff\xfe", "a\xc3"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		var got, want string
		if err := json.Unmarshal(appendString(nil, s), &got); err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		raw, _ := json.Marshal(s)
		_ = json.Unmarshal(raw, &want)
		if got != want {
			t.Fatalf("%q became %q, want %q", s, got, want)
		}
	})
}

// Buffers are wiped before they are used again.
func TestBuffersAreWiped(t *testing.T) {
	b := newBuffers()
	buf := b.get()
	*buf = append(*buf, "hunter2"...)
	held := (*buf)[:7]
	b.put(buf)
	if !bytes.Equal(held, make([]byte, 7)) {
		t.Errorf("a returned buffer still holds %q", held)
	}
}
