package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"sort"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
)

// recorder sends requests, holds each answer to the document, and remembers which routes were seen to do what.
type recorder struct {
	base string
	doc  *openapi3.T
	ops  []operation
	seen map[string]map[int]bool // operation id → status class
}

type operation struct {
	id, method string
	path       string
	matches    *regexp.Regexp
	route      *routers.Route
}

func newRecorder(t *testing.T, base string) *recorder {
	t.Helper()
	resp, err := http.Get(base + "/v1/openapi.json")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := openapi3.NewLoader().LoadFromData(raw)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatalf("the document is not valid OpenAPI: %v", err)
	}
	for _, media := range []string{"application/x-pem-file", "application/pkix-crl", "application/pkix-cert", "application/ocsp-response"} {
		openapi3filter.RegisterBodyDecoder(media, openapi3filter.FileBodyDecoder)
	}
	r := &recorder{base: base, doc: doc, seen: map[string]map[int]bool{}}
	for path, item := range doc.Paths.Map() {
		for method, op := range item.Operations() {
			r.ops = append(r.ops, operation{id: op.OperationID, method: method, path: path, matches: pathPattern(path), route: &routers.Route{
				Spec: doc, Path: path, PathItem: item, Method: method, Operation: op,
			}})
		}
	}
	// The most literal path first, as the server's own mux has it.
	sort.Slice(r.ops, func(i, j int) bool { return literals(r.ops[i].path) > literals(r.ops[j].path) })
	return r
}

// pathPattern matches URLs of a path; {path} spans segments, other parameters do not.
func pathPattern(path string) *regexp.Regexp {
	text := regexp.QuoteMeta(path)
	text = strings.ReplaceAll(text, `\{path\}`, `(?P<path>.+)`)
	text = regexp.MustCompile(`\\\{([a-z_]+)\\\}`).ReplaceAllString(text, `(?P<$1>[^/]+)`)
	return regexp.MustCompile("^" + text + "$")
}

func literals(path string) int {
	return len(regexp.MustCompile(`\{[a-z_]+\}`).ReplaceAllString(path, ""))
}

// call is one request; Want is its status.
type call struct {
	method, target string
	body           any
	header         map[string]string
	anonymous      bool
	want           int
}

// do sends a call, checks the answer against the document, and returns its JSON.
func (r *recorder) do(t *testing.T, c call) map[string]any {
	t.Helper()
	req := r.request(t, c)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if resp.StatusCode != c.want {
		t.Errorf("%s %s: status %d, want %d: %s", c.method, c.target, resp.StatusCode, c.want, body)
	}
	r.check(t, req, resp, body)
	var out map[string]any
	_ = json.Unmarshal(body, &out) // metrics are no JSON
	return out
}

func (r *recorder) request(t *testing.T, c call) *http.Request {
	t.Helper()
	var body io.Reader
	if c.body != nil {
		raw, err := json.Marshal(c.body)
		if err != nil {
			t.Fatal(err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(t.Context(), c.method, r.base+c.target, body)
	if err != nil {
		t.Fatal(err)
	}
	if c.body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !c.anonymous {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	for name, value := range c.header {
		req.Header.Set(name, value)
	}
	return req
}

// check validates an answer and counts its route.
func (r *recorder) check(t *testing.T, req *http.Request, resp *http.Response, body []byte) {
	t.Helper()
	for _, name := range []string{"X-Request-ID", "X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset"} {
		if resp.Header.Get(name) == "" {
			t.Errorf("%s %s: no header %s", req.Method, req.URL, name)
		}
	}
	op, params := r.find(req.Method, req.URL)
	if op == nil {
		t.Errorf("%s %s is not documented", req.Method, req.URL.Path)
		return
	}
	if r.seen[op.id] == nil {
		r.seen[op.id] = map[int]bool{}
	}
	r.seen[op.id][resp.StatusCode/100] = true
	input := &openapi3filter.ResponseValidationInput{
		RequestValidationInput: &openapi3filter.RequestValidationInput{
			Request: req, Route: op.route, PathParams: params,
			Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc},
		},
		Status: resp.StatusCode, Header: resp.Header,
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	}
	input.SetBodyBytes(body)
	if err := openapi3filter.ValidateResponse(t.Context(), input); err != nil {
		t.Errorf("%s %s: %d does not fit the document: %v\n%s", req.Method, req.URL.Path, resp.StatusCode, err, body)
	}
}

func (r *recorder) find(method string, u *url.URL) (*operation, map[string]string) {
	for i := range r.ops {
		op := &r.ops[i]
		m := op.matches.FindStringSubmatch(u.Path)
		if m == nil || op.method != method {
			continue
		}
		params := map[string]string{}
		for j, name := range op.matches.SubexpNames() {
			if name != "" {
				params[name] = m[j]
			}
		}
		return op, params
	}
	return nil, nil
}

// complete tells which routes were not seen to succeed and to refuse.
func (r *recorder) complete(t *testing.T) {
	t.Helper()
	for _, op := range r.ops {
		if !r.seen[op.id][2] {
			t.Errorf("%s (%s %s) was never seen to succeed", op.id, op.method, op.path)
		}
		if !r.seen[op.id][4] {
			t.Errorf("%s (%s %s) was never seen to refuse", op.id, op.method, op.path)
		}
	}
}

// text takes a string out of an answer.
func text(t *testing.T, answer map[string]any, keys ...string) string {
	t.Helper()
	var v any = answer
	for _, k := range keys {
		m, ok := v.(map[string]any)
		if !ok {
			t.Fatalf("no %s in %v", strings.Join(keys, "."), answer)
		}
		v = m[k]
	}
	return fmt.Sprint(v)
}
