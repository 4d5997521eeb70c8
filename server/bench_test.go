package server

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkCalls drives the whole server over loopback with 32 connections that cost next to nothing, so that a
// CPU profile of it shows the server.
func BenchmarkCalls(b *testing.B) {
	for _, row := range []struct{ name, request string }{
		{"read", "GET /v1/secrets/bench/p%d HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer " + devToken + "\r\n\r\n"},
		{"write", "PUT /v1/secrets/bench/p%d HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer " + devToken +
			"\r\nContent-Type: application/json\r\nContent-Length: 31\r\n\r\n{\"data\":{\"password\":\"0123456\"}}"},
		{"list", "GET /v1/secrets?prefix=bench/&limit=100&x=%d HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer " + devToken + "\r\n\r\n"},
	} {
		b.Run(row.name, func(b *testing.B) { drive(b, row.request) })
	}
}

func drive(b *testing.B, request string) {
	c := dev(b.TempDir())
	c.Listen, c.Stderr, c.Version, c.LogLevel = "127.0.0.1:0", io.Discard, "bench", "error"
	ctx, stop := context.WithCancel(context.Background())
	s, err := New(ctx, c)
	if err != nil {
		b.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() { stop(); <-ended }()
	addr := s.Addr().String()
	for !ready(b, addr) {
		continue
	}
	for i := range 1000 {
		body := `{"data":{"url":"postgres://bench"}}`
		call(b, addr, fmt.Sprintf("PUT /v1/secrets/bench/p%d HTTP/1.1\r\nHost: b\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", i, devToken, len(body), body))
	}
	var next atomic.Int64
	b.SetParallelism(16)
	b.ReportAllocs()
	b.ResetTimer()
	b.RunParallel(func(pb *testing.PB) {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			b.Error(err)
			return
		}
		defer func() { _ = conn.Close() }()
		in := bufio.NewReader(conn)
		for pb.Next() {
			r := strings.Replace(request, "%d", strconv.FormatInt(next.Add(1)%1000, 10), 1)
			if _, err := io.WriteString(conn, r); err != nil || !skip(in) {
				b.Error("call failed", err)
				return
			}
		}
	})
}

func ready(b *testing.B, addr string) bool {
	return call(b, addr, "GET /v1/health/ready HTTP/1.1\r\nHost: b\r\n\r\n")
}

func call(b *testing.B, addr, request string) bool {
	b.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := io.WriteString(conn, request); err != nil {
		b.Fatal(err)
	}
	return skip(bufio.NewReader(conn))
}

// skip reads one answer and tells whether it was 2xx.
func skip(in *bufio.Reader) bool {
	status, err := in.ReadString('\n')
	length := 0
	for err == nil {
		var line []byte
		if line, err = in.ReadSlice('\n'); err != nil || len(bytes.TrimSpace(line)) == 0 {
			break
		}
		if name, value, _ := bytes.Cut(line, []byte(":")); bytes.EqualFold(name, []byte("Content-Length")) {
			length, _ = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	if err != nil {
		return false
	}
	_, err = in.Discard(length)
	return err == nil && strings.HasPrefix(status, "HTTP/1.1 2")
}
