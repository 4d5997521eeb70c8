package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"unicode/utf8"
)

// Limits of what is written (contract OC-11; the depth is ours).
const (
	maxData  = 1 << 20
	maxDepth = 64
)

// compactData checks the data of a write and returns it without insignificant space, otherwise as it was
// written: numbers keep every digit. Its errors name fields, never values.
func compactData(raw json.RawMessage) ([]byte, error) {
	raw = bytes.TrimSpace(raw)
	switch {
	case len(raw) == 0 || string(raw) == "null":
		return nil, invalid("data", "data is required: a JSON object")
	case raw[0] != '{':
		return nil, invalid("data", "data must be a JSON object")
	case !utf8.Valid(raw):
		return nil, invalid("data", "data must be UTF-8: encode binary values, for example as base64")
	}
	var out bytes.Buffer
	if err := json.Compact(&out, raw); err != nil {
		return nil, invalid("data", "data is not valid JSON%s", offset(err))
	}
	if out.Len() > maxData {
		return nil, tooLarge("data", "data has %d bytes; at most %d are kept", out.Len(), maxData)
	}
	w := walker{in: out.Bytes(), trail: []string{"data"}}
	if err := w.value(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

// offset tells where a syntax error is: its text would quote the value.
func offset(err error) string {
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		return fmt.Sprintf(" at byte %d", syntax.Offset)
	}
	return ""
}
