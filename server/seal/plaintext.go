package seal

import (
	"fmt"
	"log/slog"
)

const redacted = "[redacted]"

// Plaintext is an opened value. It never prints: String, Format, GoString, MarshalJSON and LogValue redact.
// The bytes stand behind a function, because fmt asks no methods of an unexported field and follows pointers.
type Plaintext struct{ value func() []byte }

// NewPlaintext takes value as it stands; the caller must not change it afterwards.
func NewPlaintext(value []byte) Plaintext { return Plaintext{value: func() []byte { return value }} }

// Reveal returns the value. Only what encodes an answer to a caller who may read it calls this.
func (p Plaintext) Reveal() []byte {
	if p.value == nil {
		return nil
	}
	return p.value()
}

// Size is the length of the value in bytes.
func (p Plaintext) Size() int { return len(p.Reveal()) }

// String redacts.
func (p Plaintext) String() string { return redacted }

// GoString redacts.
func (p Plaintext) GoString() string { return redacted }

// Format redacts, whatever the verb.
func (p Plaintext) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(redacted)) }

// MarshalJSON redacts.
func (p Plaintext) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalText redacts.
func (p Plaintext) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue redacts.
func (p Plaintext) LogValue() slog.Value { return slog.StringValue(redacted) }
