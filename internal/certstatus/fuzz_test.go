package certstatus_test

import (
	"crypto"
	"encoding/base64"
	"testing"

	"github.com/scailabs/scaivault/internal/certstatus"
)

// FuzzRequest: whatever is sent is malformed or can be answered, and the answer is about what was asked.
func FuzzRequest(f *testing.F) {
	by := issuers(f)["ec"]
	r := responder(f, by)
	f.Add(request(f, by, 5, crypto.SHA1))
	f.Add(request(f, by, 1<<40, crypto.SHA256))
	f.Add([]byte{0x30, 0x84, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, der []byte) {
		q, err := certstatus.ParseRequest(der)
		again, aerr := certstatus.DecodeRequest(base64.RawURLEncoding.EncodeToString(der))
		if (err == nil) != (aerr == nil) {
			t.Fatalf("POST says %v, GET says %v", err, aerr)
		}
		if err != nil {
			return
		}
		if q.Serial.Cmp(again.Serial) != 0 || q.Serial.Sign() <= 0 || len(q.Serial.Bytes()) > 20 || len(q.KeyHash) != q.Hash.Size() {
			t.Fatalf("%+v", q)
		}
		if _, err := r.Answer(q, certstatus.Status{}, noon, noon); err != nil {
			t.Fatal(err)
		}
	})
}
