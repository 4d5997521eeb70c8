package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func FuzzDecodeMetadata(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1.50,"b":[],"c":{},"d":[1,[2],{"e":null}],"f":true,"g":false}`, `{"\u0061":"\ud83d\ude00\n"}`, `[]`, `{"a":-0e9,"a":2}`, `{"a"`, ` { "a" : [ 1 , { } ] } `} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		got, err := decodeMetadata(string(in))
		if bytes.Equal(bytes.TrimSpace(in), []byte("null")) {
			return // the decoder leaves the map alone
		}
		want := map[string]any{}
		wantErr := errors.New("not valid")
		if json.Valid(in) {
			d := json.NewDecoder(bytes.NewReader(in))
			d.UseNumber()
			wantErr = d.Decode(&want)
		}
		if (err == nil) != (wantErr == nil) {
			t.Fatalf("%q: %v, the decoder says %v", in, err, wantErr)
		}
		if diff := cmp.Diff(want, got); err == nil && diff != "" {
			t.Fatalf("%q:\n%s", in, diff)
		}
	})
}
