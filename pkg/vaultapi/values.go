package vaultapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
)

// Redacted stands where a value would be printed.
const Redacted = "[redacted]"

// Values is the data object of a secret. It never prints: String, Format, GoString, MarshalJSON and LogValue
// give Redacted; only Reveal gives what is inside. Numbers stay as written, whatever their size.
type Values struct{ raw json.RawMessage }

// NewValues takes a JSON object as it stands.
func NewValues(object json.RawMessage) (Values, error) {
	trimmed := bytes.TrimSpace(object)
	if len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(trimmed) {
		return Values{}, errors.New("data must be a JSON object")
	}
	return Values{raw: trimmed}, nil
}

// Reveal returns the JSON object.
func (v Values) Reveal() json.RawMessage { return v.raw }

// Fields returns the top-level fields, each as JSON.
func (v Values) Fields() (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(v.raw, &m); err != nil {
		return nil, errors.New("data is not a JSON object") // the decoder's own error would quote the value
	}
	return m, nil
}

// UnmarshalJSON keeps the object as it stands.
func (v *Values) UnmarshalJSON(b []byte) error {
	v.raw = bytes.Clone(b)
	return nil
}

// MarshalJSON redacts.
func (v Values) MarshalJSON() ([]byte, error) { return []byte(`"` + Redacted + `"`), nil }

// String redacts.
func (v Values) String() string { return Redacted }

// GoString redacts.
func (v Values) GoString() string { return Redacted }

// Format redacts, whatever the verb.
func (v Values) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(Redacted)) }

// LogValue redacts.
func (v Values) LogValue() slog.Value { return slog.StringValue(Redacted) }
