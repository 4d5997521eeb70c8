package integration

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/test/vault"
)

// raw sends bytes as they are and reads one answer; nil where the server closed the connection without one.
func raw(t *testing.T, s *vault.Composed, text string, within time.Duration) (*http.Response, string) {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
	if err != nil {
		t.Error(err)
		return nil, ""
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(within)); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, ""
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return nil, ""
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return resp, string(body) // cut off with the connection
	}
	return resp, string(body)
}

func line(method, target string, headers ...string) string {
	return method + " " + target + " HTTP/1.1\r\nHost: vault\r\nAuthorization: Bearer " + vault.Token + "\r\nConnection: close\r\n" +
		strings.Join(append(headers, "", ""), "\r\n")
}

// TestMistake03HostilePathsOnTheWire sends paths that a client library would clean up, with every method. None
// reaches a secret, none is redirected, none is answered by anything but an envelope.
func TestMistake03HostilePathsOnTheWire(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	for _, path := range []string{"a/b", "a", "b", "example"} {
		s.Must(vault.Request{Method: "PUT", Path: "/v1/secrets/" + path, Body: object{"data": object{"v": canary}}}, nil)
	}
	for _, method := range []string{"GET", "PUT", "PATCH", "POST", "DELETE", "HEAD", "LIST", "get"} {
		for _, path := range []string{
			"/v1/secrets/a/../b", "/v1/secrets/./a", "/v1/secrets/a/.", "/v1/secrets/..", "/v1/secrets/a//b", "//v1/secrets/a", "/v1/secrets//a",
			"/v1/secrets/a/", "/v1/secrets/%2e%2e/a", "/v1/secrets/x/%2e%2e/a", "/v1/secrets/x%2f..%2fa", "/v1/secrets/%2fa", "/v1/secrets/a%2f",
			"/v1/secrets/%252e%252e/a", "/v1/secrets/%61%25", "/v1/secrets/a%00", "/v1/secrets/a%00/b", "/v1/secrets/a%0a", "/v1/secrets/a%0d%0aX-Y:z",
			"/v1/secrets/A", "/v1/secrets/EXAMPLE", "/v1/secrets/%45xample", "/v1/secrets/a%5cb", "/v1/secrets/a\\b", "/v1/secrets/a%ff", "/v1/secrets/\xff",
			"/v1/secrets/a%c0%af", "/v1/secrets/a%e2%80%8b", "/v1/secrets/a;b", "/v1/secrets/a%3bb", "/v1/secrets/a%", "/v1/secrets/a%2", "/v1/secrets/a%zz",
			"/v1/secrets/*", "/v1/secrets/a%2a", "/v1/%73ecrets/a", "/v1/secret%73/a", "/V1/secrets/a", "/v1/./secrets/a", "/v1/x/../secrets/a",
			"/v1/t/tnt_default/../secrets/a", "/v1/t/tnt_default%2fsecrets/a", "/v1/t//secrets/a", "/v1/t/../v1/secrets/a", "/v1/t/a/t/b/secrets/a",
			"/v1/secrets/" + strings.Repeat("a", 600), "/v1/secrets/" + strings.Repeat("a/", 11) + "a", "/v1/secrets/" + strings.Repeat("%61", 2000),
			"http://evil.example/v1/secrets/a/../b", "*", "v1/secrets/a", "/v1/secrets/a/metadata/metadata/..",
			"/v1/audit/secrets/..", "/v1/audit/secrets/a%2f..%2fb", "/v1/policies/..%2f..", "/v1/policies/%2e%2e", "/v1/policies/a%2fbindings", "/v1/subscriptions/../secrets/a",
		} {
			resp, body := raw(t, s, line(method, path, "Content-Length: 0"), time.Minute)
			switch {
			case resp == nil:
				t.Errorf("%s %q: the connection was closed without an answer", method, path)
			case resp.StatusCode/100 != 4 || resp.Header.Get("Location") != "":
				t.Errorf("%s %q: %d %s", method, path, resp.StatusCode, body)
			case strings.Contains(body, canary):
				t.Errorf("%s %q read a secret", method, path)
			}
		}
	}
	for _, path := range []string{"a/b", "a", "b", "example"} {
		s.Must(vault.Request{Path: "/v1/secrets/" + path}, nil)
	}
}

// TestBrokenHTTP sends what no client would: the server refuses it, closes the connection, and lives.
func TestBrokenHTTP(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	s.Must(vault.Request{Method: "PUT", Path: "/v1/secrets/a", Body: object{"data": object{"v": canary}}}, nil)
	body := `{"data":{"v":"smuggled"}}`
	put := func(headers ...string) string {
		return line("PUT", "/v1/secrets/smuggled", append(headers, "Content-Type: application/json")...)
	}
	var all sync.WaitGroup
	for name, text := range map[string]string{
		"nothing":               "\r\n\r\n\r\n\r\n",
		"binary":                "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + strings.Repeat("\x00\xff", 500),
		"no version":            "GET /v1/secrets/a\r\n\r\n",
		"HTTP/9":                "GET /v1/secrets/a HTTP/9.9\r\nHost: x\r\n\r\n",
		"space in path":         line("GET", "/v1/secrets/a b"),
		"NUL in header":         line("GET", "/v1/secrets/a", "X-Y: a\x00b"),
		"two hosts":             "GET /v1/secrets/a HTTP/1.1\r\nHost: a\r\nHost: b\r\nAuthorization: Bearer " + vault.Token + "\r\n\r\n",
		"two lengths":           put("Content-Length: 5", "Content-Length: 25") + body,
		"negative length":       put("Content-Length: -1") + body,
		"huge length":           put("Content-Length: 99999999999999999999") + body,
		"length of 1 TiB":       put("Content-Length: 1099511627776") + body,
		"unknown encoding":      put("Transfer-Encoding: gzip, chunked") + body,
		"broken chunks":         put("Transfer-Encoding: chunked") + "zz\r\n" + body,
		"huge chunk":            put("Transfer-Encoding: chunked") + "ffffffffffffffff\r\n" + body,
		"headers of 1 MiB":      line("GET", "/v1/secrets/a", "X-Y: "+strings.Repeat("y", 1<<20)),
		"100 000 headers":       line("GET", "/v1/secrets/a", strings.Split(strings.Repeat("X-Y: z\n", 100_000), "\n")[:99_999]...),
		"two tokens":            line("GET", "/v1/secrets/a", "Authorization: Bearer "+vault.Token),
		"expects the unheard":   put("Expect: 999-later", "Content-Length: 25") + body,
		"a path of 1 MiB":       line("GET", "/v1/secrets/"+strings.Repeat("a", 1<<20)),
		"websocket":             line("GET", "/v1/secrets/nothing", "Connection: Upgrade", "Upgrade: websocket"),
		"tunnel":                "CONNECT internal:5432 HTTP/1.1\r\nHost: internal:5432\r\nAuthorization: Bearer " + vault.Token + "\r\n\r\n",
		"HTTP/2 without asking": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		all.Go(func() {
			resp, got := raw(t, s, text, 2*time.Second) // for the rest of some of them the server waits longer
			if resp != nil && resp.StatusCode/100 != 4 && resp.StatusCode != http.StatusNotImplemented && resp.StatusCode != http.StatusHTTPVersionNotSupported {
				t.Errorf("%s: %d %s", name, resp.StatusCode, got)
			}
			if strings.Contains(got, canary) {
				t.Errorf("%s read a secret", name)
			}
		})
	}
	all.Wait()
	if got := s.Do(vault.Request{Path: "/v1/secrets/smuggled"}); got.Status != http.StatusNotFound {
		t.Errorf("a broken request wrote a secret: %d %s", got.Status, got.Body)
	}
	s.Must(vault.Request{Path: "/v1/secrets/a"}, nil)
}

// TestBodyThatNeverEnds: a body that is announced and does not come holds nothing but its connection, and one that
// comes without end is cut off at the limit.
func TestBodyThatNeverEnds(t *testing.T) {
	s := vault.Compose(t, store.SQLite)
	s.Start()
	for range 50 {
		conn, err := net.Dial("tcp", strings.TrimPrefix(s.URL, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, line("PUT", "/v1/secrets/slow", "Content-Type: application/json", "Content-Length: 2000000")+`{"data":`)
	}
	s.Must(vault.Request{Method: "PUT", Path: "/v1/secrets/quick", Body: object{"data": object{"v": 1}}}, nil)
	endless := io.MultiReader(strings.NewReader(`{"data":{"v":"`), &endless{limit: 64 << 20})
	req, err := http.NewRequest(http.MethodPut, s.URL+"/v1/secrets/endless", endless)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+vault.Token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := s.HTTP.Do(req)
	if err == nil {
		resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("a body without end: %d", resp.StatusCode)
		}
	}
	if got := s.Do(vault.Request{Path: "/v1/secrets/endless"}); got.Status != http.StatusNotFound {
		t.Errorf("a body without end was stored: %d", got.Status)
	}
}

// endless is a body of one letter.
type endless struct{ limit int }

func (e *endless) Read(b []byte) (int, error) {
	if e.limit -= len(b); e.limit < 0 {
		return 0, fmt.Errorf("the server read %w", io.EOF)
	}
	return copy(b, bytes.Repeat([]byte("x"), len(b))), nil
}
