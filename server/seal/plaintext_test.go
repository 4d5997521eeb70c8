package seal

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary-7f3a"

// TestMistake36ValueNeverPrints: []byte escaped redaction elsewhere (CVE-2025-62513, -62705).
func TestMistake36ValueNeverPrints(t *testing.T) {
	p := NewPlaintext([]byte(canary))
	exported := struct{ Value Plaintext }{p}
	hidden := struct{ value Plaintext }{p}
	var out bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%t"} {
		for _, arg := range []any{p, &p, exported, &exported, hidden, []Plaintext{p}, map[string]Plaintext{"k": p}} {
			fmt.Fprintf(&out, verb+"\n", arg)
		}
	}
	for _, handler := range []slog.Handler{slog.NewTextHandler(&out, nil), slog.NewJSONHandler(&out, nil)} {
		slog.New(handler).Info("msg", "value", p, "in", exported, "hidden", hidden)
	}
	raw, err := json.Marshal(map[string]any{"value": p, "in": exported, "list": []Plaintext{p}})
	if err != nil {
		t.Fatal(err)
	}
	out.Write(raw)
	for _, form := range []string{canary, fmt.Sprintf("%x", canary), fmt.Sprintf("%X", canary), strings.Trim(fmt.Sprintf("%d", []byte(canary)), "[]"), "Y2FuYXJ5"} {
		if strings.Contains(out.String(), form) {
			t.Errorf("the value is printed as %s", form)
		}
	}
	if string(p.Reveal()) != canary || p.Size() != len(canary) {
		t.Error("Reveal does not give the value")
	}
}

func TestZeroPlaintextIsEmpty(t *testing.T) {
	var p Plaintext
	if p.Reveal() != nil || p.Size() != 0 || p.String() != redacted {
		t.Errorf("got %v of %d bytes", p, p.Size())
	}
}
