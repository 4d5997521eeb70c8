package httpapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/fault"
)

// Regressions of what befell others: field map, section f. The numbers are the items'.

// A trailing slash gave LIST a broader grant than the path without it.
func TestMistake01TrailingSlashWithEveryVerb(t *testing.T) {
	f := newFixture(t, Config{}, echoTable)
	for _, method := range append(methods(), "HEAD", "LIST", "OPTIONS") {
		for _, path := range []string{"/v1/secrets/", "/v1/secrets/a/", "/v1/secrets/a%2F", "/v1/secrets/a/metadata/", "/v1/audit/secrets/a/", "/v1/t/tnt_other/secrets/a/", "/v1/policies/"} {
			w := f.do(t, method, path, "")
			if e := envelope(t, w); w.Code != http.StatusBadRequest || e.Code != fault.CodeInvalidPath {
				t.Errorf("%s %s: %d %s", method, path, w.Code, e.Code)
			}
			if got := f.edge.last(t).Action; got != "request_invalid" {
				t.Errorf("%s %s: recorded as %s", method, path, got)
			}
		}
	}
}

// One spelling was denied, another one reached the secret.
func TestMistake02CaseOfPaths(t *testing.T) {
	f := newFixture(t, Config{}, echoTable)
	for _, path := range []string{"/v1/secrets/EXAMPLE", "/v1/secrets/a/%45xample", "/v1/audit/secrets/Example"} {
		if w := f.do(t, "GET", path, ""); w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// Dot segments were judged as one path and served as another.
func TestMistake03DotSegments(t *testing.T) {
	f := newFixture(t, Config{}, echoTable)
	for _, method := range methods() {
		for _, tail := range []string{"a/../b", "a/./b", "..", ".", "%2e%2e/b", "a/%2e%2e/b", "a%2F..%2Fb", "a/%2E/b", "a//b", "a%2F%2Fb", "%252e%252e/b", "a%00b", "a%5c..%5cb"} {
			w := f.do(t, method, "/v1/secrets/"+tail, "")
			if e := envelope(t, w); w.Code != http.StatusBadRequest || e.Code != fault.CodeInvalidPath || w.Header().Get("Location") != "" {
				t.Errorf("%s %s: %d %s", method, tail, w.Code, e.Code)
			}
		}
	}
}

// limit=0 and negative limits skipped the page limit.
func TestMistake10LimitZeroAndBelow(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for _, limit := range []string{"0", "-1", "-9223372036854775808", "1001", "99999999999999999999"} {
		if w := f.do(t, "GET", "/v1/secrets?limit="+limit, ""); w.Code != http.StatusBadRequest {
			t.Errorf("limit=%s: %d", limit, w.Code)
		}
	}
}

// Raw bodies and byte slices went into logs unredacted.
func TestMistake36NothingOfABodyIsLoggedOrRecorded(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for _, body := range []string{
		`{"data":{"password":"hunter2"}`, `{"data":{"password":"hunter2"},"options":{"max_versions":"hunter2"}}`, `hunter2`,
		`{"data":{"k":"hunter2","k":"hunter2"}}`, `{"secret_type":["hunter2"],"data":{}}`, `{"data":{}}hunter2`,
	} {
		w := f.do(t, "PUT", "/v1/secrets/a/b", body)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s: %d", body, w.Code)
		}
		said := w.Body.String() + f.log.String() + fmt.Sprintf("%+v", f.edge.last(t))
		if strings.Contains(said, "hunter2") {
			t.Errorf("%s: the value was repeated: %s", body, said)
		}
	}
}

// A malformed payload was echoed, value and all.
func TestMistake37MalformedPayloadIsNotEchoed(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	const value = "S3kr1t"
	valid := `{"data":{"a":"` + value + `","n":1` + value + `}}`
	for cut := 1; cut < len(valid); cut++ {
		for _, body := range []string{valid[:cut], valid[:cut] + "\x01" + valid[cut:], value + valid[cut:]} {
			w := f.do(t, "PUT", "/v1/secrets/a/b", body)
			if w.Code != http.StatusBadRequest {
				t.Fatalf("%q: %d", body, w.Code)
			}
			if strings.Contains(w.Body.String(), value[:3]) {
				t.Fatalf("%q was answered with %s", body, w.Body)
			}
		}
	}
	w := f.do(t, "PUT", "/v1/secrets/a/b", `{"options":{"max_versions":31337313373133731337}}`)
	if strings.Contains(w.Body.String(), "31337") || !strings.Contains(w.Body.String(), "options.max_versions") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Deep or huge JSON within the size limit exhausted memory.
func TestMistake43DeepAndHugeJSON(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	deep := func(n int) string { return `{"data":` + strings.Repeat("[", n) + strings.Repeat("]", n) + `}` }
	pairs := &strings.Builder{}
	for i := range 200_000 {
		fmt.Fprintf(pairs, `,"%x":0`, i)
	}
	for name, test := range map[string]struct {
		body   string
		status int
	}{
		"depth at the limit":    {deep(maxJSONDepth - 1), 200},
		"one level more":        {deep(maxJSONDepth), 400},
		"a million levels":      {deep(1_000_000), 400},
		"unclosed million":      {strings.Repeat(`{"a":`, 400_000), 400},
		"200 000 members":       {`{"data":{` + pairs.String()[1:] + `}}`, 400},
		"700 000 empty values":  {`{"data":{"a":[0` + strings.Repeat(",0", 700_000) + `]}}`, 400},
		"a body over the limit": {`{"data":{"a":"` + strings.Repeat("x", maxBody) + `"}}`, 413},
		"1.9 MiB in one string": {`{"data":{"a":"` + strings.Repeat("x", 1_900_000) + `"}}`, 200},
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w := f.do(t, "PUT", "/v1/secrets/a/b", test.body)
		runtime.ReadMemStats(&after)
		if w.Code != test.status {
			t.Errorf("%s: %d %.200s", name, w.Code, w.Body)
		}
		if w.Code == 413 && envelope(t, w).Code != fault.CodeInvalidRequest {
			t.Errorf("%s: %s", name, w.Body)
		}
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 40<<20 {
			t.Errorf("%s: took %d MiB", name, grown>>20)
		}
	}
}

// A body that is announced larger than it may be is not read, and one that lies about its length is cut off.
func TestMistake44UnauthenticatedBuffers(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	body := &counting{Reader: strings.NewReader(strings.Repeat(" ", 4<<20))}
	r := httptest.NewRequest("PUT", "/v1/secrets/a/b", body)
	r.Header.Set("Authorization", "Bearer wrong")
	w := httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code != http.StatusUnauthorized || body.n > 0 {
		t.Errorf("status %d after reading %d bytes of a stranger's body", w.Code, body.n)
	}
	r = httptest.NewRequest("PUT", "/v1/secrets/a/b", body)
	r.Header.Set("Authorization", "Bearer "+goodToken)
	r.ContentLength = -1
	w = httptest.NewRecorder()
	f.ServeHTTP(w, r)
	if w.Code != http.StatusRequestEntityTooLarge || body.n > maxBody+64<<10 {
		t.Errorf("status %d after reading %d bytes", w.Code, body.n)
	}
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// One odd client address stopped the listener.
func TestMistake45OddAddresses(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	for _, remote := range []string{"", "@", "pipe", "/run/x.sock", "1.2.3.4", "[::1]", "[fe80::1%25eth0]:1", "999.1.1.1:5", "a:b:c:d", ":0", "\x00"} {
		r := httptest.NewRequest("GET", "/v1/secrets/a/b", nil)
		r.RemoteAddr = remote
		r.Header.Set("Authorization", "Bearer "+goodToken)
		r.Header.Set("X-Forwarded-For", ",,,\x00")
		w := httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != http.StatusOK {
			t.Errorf("RemoteAddr %q: %d", remote, w.Code)
		}
		r.Header.Del("Authorization")
		w = httptest.NewRecorder()
		f.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			t.Errorf("RemoteAddr %q without token: %d", remote, w.Code)
		}
	}
}

// A crash in one request must not end the others.
func TestMistake46PanicStaysInItsRequest(t *testing.T) {
	f := newFixture(t, Config{}, nil)
	server := httptest.NewServer(f)
	defer server.Close()
	for range 3 {
		for path, want := range map[string]int{"panics": 500, "a/b": 200} {
			r, _ := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL+"/v1/secrets/"+path, nil)
			r.Header.Set("Authorization", "Bearer "+goodToken)
			resp, err := server.Client().Do(r)
			if err != nil {
				t.Fatal(err)
			}
			resp.Body.Close()
			if resp.StatusCode != want {
				t.Errorf("%s: %d", path, resp.StatusCode)
			}
		}
	}
}
