// Command probe runs in pods of the end-to-end suite and tells over HTTP what they see of a mounted Secret:
//
//	GET /env?name=N       the environment variable, 404 if it is not set
//	GET /file?path=P      the file's content, 404 if there is none
//	GET /changes?path=P   a line of JSON, see Change, now and whenever the file's content changes
package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"time"
)

// every is how exactly the time of a change is known.
const every = 2 * time.Millisecond

// Change is a file's content as the pod saw it at a time.
type Change struct {
	At      time.Time `json:"at"`
	Content string    `json:"content"`
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /env", env)
	mux.HandleFunc("GET /file", file)
	mux.HandleFunc("GET /changes", changes)
	server := &http.Server{Addr: ":8080", Handler: mux, ReadHeaderTimeout: time.Second}
	fmt.Fprintln(os.Stderr, "probe:", server.ListenAndServe())
	os.Exit(1)
}

func env(w http.ResponseWriter, r *http.Request) {
	value, ok := os.LookupEnv(r.URL.Query().Get("name"))
	if !ok {
		http.NotFound(w, r)
		return
	}
	_, _ = w.Write([]byte(value)) // the caller is gone
}

func file(w http.ResponseWriter, r *http.Request) {
	content, err := os.ReadFile(r.URL.Query().Get("path"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	}
	_, _ = w.Write(content) // the caller is gone
}

func changes(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	lines, flush := json.NewEncoder(w), http.NewResponseController(w)
	last, first := "", true
	for {
		content, err := os.ReadFile(r.URL.Query().Get("path"))
		if err == nil && (first || string(content) != last) {
			last, first = string(content), false
			if lines.Encode(Change{At: time.Now(), Content: last}) != nil || flush.Flush() != nil {
				return
			}
		}
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}
