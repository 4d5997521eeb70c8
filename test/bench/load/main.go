// Command load drives one HTTP endpoint with a fixed number of keep-alive connections and prints what it saw
// as one line of JSON. It writes prepared requests and reads answers with as little work as it can, so that on a
// machine shared with the server most of the time goes to the server.
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// plan is what one run does. {n} in the path and the body stands for a random number below span, {seq} for a
// number that no other request of the run has.
type plan struct {
	method, target, body, token, header string
	connections                         int
	span                                int64
	length                              time.Duration
	count                               int64
}

// result is what one run saw; latencies are in milliseconds.
type result struct {
	Requests int64   `json:"requests"`
	Failed   int64   `json:"failed"`
	Rate     float64 `json:"rate"`
	P50      float64 `json:"p50_ms"`
	P99      float64 `json:"p99_ms"`
	Max      float64 `json:"max_ms"`
	FirstBad string  `json:"first_bad,omitempty"`
}

func main() {
	p := plan{}
	flag.StringVar(&p.method, "method", "GET", "")
	flag.StringVar(&p.target, "url", "", "with {n} or {seq} in the path")
	flag.StringVar(&p.body, "body", "", "with {n} or {seq}")
	flag.StringVar(&p.token, "token", "", "bearer token")
	flag.StringVar(&p.header, "header", "", "one more header, as `Name: value`")
	flag.IntVar(&p.connections, "c", 32, "connections")
	flag.Int64Var(&p.span, "span", 1000, "{n} is below this")
	flag.DurationVar(&p.length, "d", 10*time.Second, "how long")
	flag.Int64Var(&p.count, "count", 0, "stop after so many requests instead; {seq} then runs from 0")
	flag.Parse()
	r, err := run(p)
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
	_ = json.NewEncoder(os.Stdout).Encode(r)
	if r.Failed > 0 {
		os.Exit(1)
	}
}

type sequence struct {
	mu   sync.Mutex
	next int64
	end  int64
}

// take answers the next number, false when the run is over.
func (s *sequence) take() (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.end > 0 && s.next >= s.end {
		return 0, false
	}
	s.next++
	return s.next - 1, true
}

func run(p plan) (result, error) {
	u, err := url.Parse(strings.NewReplacer("{n}", "0", "{seq}", "0").Replace(p.target))
	if err != nil || u.Host == "" {
		return result{}, fmt.Errorf("-url %q: need http://host:port/path", p.target)
	}
	seq := &sequence{end: p.count}
	if p.count == 0 {
		seq.next = time.Now().UnixMilli() * 1000
	}
	workers := make([]*worker, p.connections)
	var wg sync.WaitGroup
	start := time.Now()
	end := start.Add(p.length)
	if p.count > 0 {
		end = start.Add(24 * time.Hour)
	}
	for i := range workers {
		workers[i] = &worker{plan: p, host: u.Host, rest: p.target[strings.Index(p.target, u.Host)+len(u.Host):], seq: seq}
		wg.Go(func() { workers[i].work(end) })
	}
	wg.Wait()
	return summarise(workers, time.Since(start)), nil
}

type worker struct {
	plan
	host, rest string
	seq        *sequence
	took       []time.Duration
	failed     int64
	firstBad   string
	conn       net.Conn
	in         *bufio.Reader
	out        bytes.Buffer
}

func (w *worker) work(end time.Time) {
	for time.Now().Before(end) {
		n, more := w.seq.take()
		if !more {
			return
		}
		start := time.Now()
		if err := w.once(n); err != nil {
			w.failed++
			w.firstBad = cmp.Or(w.firstBad, err.Error())
			_ = w.conn.Close()
			w.conn = nil
			if w.failed > 100 {
				return
			}
			continue
		}
		w.took = append(w.took, time.Since(start))
	}
}

func (w *worker) once(seq int64) error {
	if w.conn == nil {
		c, err := net.Dial("tcp", w.host)
		if err != nil {
			return err
		}
		w.conn, w.in = c, bufio.NewReaderSize(c, 64<<10)
	}
	w.request(seq)
	if _, err := w.conn.Write(w.out.Bytes()); err != nil {
		return err
	}
	return w.answer()
}

func (w *worker) request(seq int64) {
	n := strconv.FormatInt(rand.Int64N(w.span), 10)
	fill := strings.NewReplacer("{n}", n, "{seq}", strconv.FormatInt(seq, 10))
	w.out.Reset()
	fmt.Fprintf(&w.out, "%s %s HTTP/1.1\r\nHost: %s\r\n", w.method, fill.Replace(w.rest), w.host)
	if w.token != "" {
		fmt.Fprintf(&w.out, "Authorization: Bearer %s\r\n", w.token)
	}
	if w.header != "" {
		fmt.Fprintf(&w.out, "%s\r\n", w.header)
	}
	if w.body != "" {
		body := fill.Replace(w.body)
		fmt.Fprintf(&w.out, "Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
		return
	}
	w.out.WriteString("\r\n")
}

// answer reads one response with a Content-Length; anything but 2xx is a failure.
func (w *worker) answer() error {
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return err
	}
	status := string(bytes.TrimSpace(line))
	length, chunked := 0, false
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		line = bytes.TrimSpace(line)
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, []byte(":"))
		switch {
		case bytes.EqualFold(name, []byte("Content-Length")):
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		case bytes.EqualFold(name, []byte("Transfer-Encoding")):
			chunked = true
		}
	}
	if chunked {
		err = w.skipChunks()
	} else {
		_, err = w.in.Discard(length)
	}
	if err == nil && !strings.HasPrefix(status, "HTTP/1.1 2") {
		err = errors.New(status)
	}
	return err
}

func (w *worker) skipChunks() error {
	for {
		line, err := w.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		size, err := strconv.ParseInt(string(bytes.TrimSpace(line)), 16, 64)
		if err != nil {
			return err
		}
		if _, err := io.CopyN(io.Discard, w.in, size+2); err != nil {
			return err
		}
		if size == 0 {
			return nil
		}
	}
}

func summarise(workers []*worker, took time.Duration) result {
	var all []time.Duration
	r := result{}
	for _, w := range workers {
		all = append(all, w.took...)
		r.Failed += w.failed
		r.FirstBad = cmp.Or(r.FirstBad, w.firstBad)
	}
	slices.Sort(all)
	r.Requests = int64(len(all))
	r.Rate = float64(r.Requests) / took.Seconds()
	if len(all) > 0 {
		ms := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
		r.P50, r.P99, r.Max = ms(all[len(all)/2]), ms(all[len(all)*99/100]), ms(all[len(all)-1])
	}
	return r
}
