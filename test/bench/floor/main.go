// Command floor is what the benchmarks compare with: a bare net/http handler that answers every request with a
// fixed JSON body of a small secret's size. It does nothing else and must not change, or figures of different days
// cannot be compared.
package main

import (
	"flag"
	"log"
	"net/http"
	"time"
)

const body = `{"path":"environments/production/billing/database","secret_type":"kv","version":3,` +
	`"data":{"url":"postgres://billing:correct-horse-battery@db.internal:5432/billing"},` +
	`"metadata":{"owner":"team:billing","tags":["billing"]},"tags":["billing"],"access_count_30d":0,` +
	`"created_at":"2026-01-01T00:00:00Z","updated_at":"2026-01-02T00:00:00Z","expires_at":null,"rotation_policy_id":null}`

func main() {
	listen := flag.String("listen", "127.0.0.1:18300", "address to listen on")
	flag.Parse()
	answer := []byte(body)
	server := &http.Server{
		Addr:              *listen,
		ReadHeaderTimeout: 10 * time.Second,
		Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write(answer) // a client that is gone needs no answer
		}),
	}
	log.Fatal(server.ListenAndServe())
}
