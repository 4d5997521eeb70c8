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
//
// The object sits behind a func, because fmt prints the bytes of a field of another struct without asking the
// field's own methods when that field is not exported.
type Values struct{ open func() json.RawMessage }

// NewValues takes a JSON object as it stands.
func NewValues(object json.RawMessage) (Values, error) {
	trimmed := bytes.TrimSpace(object)
	if len(trimmed) == 0 || trimmed[0] != '{' || !json.Valid(trimmed) {
		return Values{}, errors.New("data must be a JSON object")
	}
	return holding(trimmed), nil
}

func holding(object json.RawMessage) Values {
	return Values{open: func() json.RawMessage { return object }}
}

// Reveal returns the JSON object, nil for the zero Values.
func (v Values) Reveal() json.RawMessage {
	if v.open == nil {
		return nil
	}
	return v.open()
}

// Fields returns the top-level fields, each as JSON.
func (v Values) Fields() (map[string]json.RawMessage, error) {
	var m map[string]json.RawMessage
	if err := json.Unmarshal(v.Reveal(), &m); err != nil {
		return nil, errors.New("data is not a JSON object") // the decoder's own error would quote the value
	}
	return m, nil
}

// UnmarshalJSON keeps the object as it stands.
func (v *Values) UnmarshalJSON(b []byte) error {
	*v = holding(bytes.Clone(b))
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
