package generate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
)

const redacted = "[redacted]"

// Result is what a recipe made. It never prints: only Reveal and Over give what is inside.
type Result struct {
	fields func() map[string]json.RawMessage
}

// Reveal returns the fields, each as JSON. The caller must not change the map.
func (r Result) Reveal() map[string]json.RawMessage {
	if r.fields == nil {
		return nil
	}
	return r.fields()
}

// Over returns data, a JSON object or nothing, with the generated fields in place of those of the
// same name: what else is there, such as a host, stays as it is. The error quotes no value.
func (r Result) Over(data json.RawMessage) (json.RawMessage, error) {
	all := map[string]json.RawMessage{}
	if len(data) > 0 {
		if err := json.Unmarshal(data, &all); err != nil || all == nil {
			return nil, errors.New("the secret's data is not a JSON object")
		}
	}
	maps.Copy(all, r.Reveal())
	return encode(all)
}

// encode writes JSON in which < stays <: whoever reads it with simple tools gets what was made.
func encode(v any) (json.RawMessage, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, errors.New("the value cannot be written as JSON") // the encoder's own error may quote it
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// String redacts.
func (r Result) String() string { return redacted }

// GoString redacts.
func (r Result) GoString() string { return redacted }

// Format redacts, whatever the verb.
func (r Result) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON redacts.
func (r Result) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// LogValue redacts.
func (r Result) LogValue() slog.Value { return slog.StringValue(redacted) }
