package httpapi

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// discard is a ResponseWriter that costs nothing.
type discard struct{ header http.Header }

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(b []byte) (int, error) { return len(b), nil }
func (d *discard) WriteHeader(int)             {}

// BenchmarkRead is what the edge costs of a read: gate, mux, authentication, rate limit, encoding, metrics.
func BenchmarkRead(b *testing.B) {
	f := newFixture(b, Config{Limits: Limits{Profile: "unlimited"}, Now: time.Now}, nil)
	r := httptest.NewRequest("GET", "/v1/secrets/environments/production/billing/database", nil)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	r.Header.Set("User-Agent", "bench/1.0")
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	for b.Loop() {
		clear(w.header)
		f.ServeHTTP(w, r)
	}
}

func BenchmarkEncodeList100(b *testing.B) {
	var list vaultapi.SecretList
	for range 100 {
		list.Secrets = append(list.Secrets, exampleSecret("environments/production/billing/database").SecretInfo)
	}
	buf := make([]byte, 0, 128<<10)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendSecretList(buf[:0], list)
	}
}
