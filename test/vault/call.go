package vault

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Caller makes raw calls: what pkg/client would not send, too.
type Caller struct {
	TB     testing.TB
	URL    string
	Token  string
	Tenant string // sent as X-Tenant-ID unless empty
	HTTP   *http.Client
}

// Request is one call. Body is sent as JSON; a []byte or string as it is.
type Request struct {
	Method, Path string // Method "": GET
	Body         any
	Header       map[string]string
	Anonymous    bool
	Context      context.Context
}

// Answer is what came back; Status is 0 when nothing did.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
	Err    error
}

// Code is the envelope's code, "" where there is none.
func (a Answer) Code() string {
	var e vaultapi.ErrorEnvelope
	_ = json.Unmarshal(a.Body, &e) // "" says that it is none
	return e.Error.Code
}

// Into decodes the body.
func (a Answer) Into(tb testing.TB, into any) {
	tb.Helper()
	if err := json.Unmarshal(a.Body, into); err != nil {
		tb.Fatalf("%d %s: %v", a.Status, a.Body, err)
	}
}

// As is the same caller with another token.
func (c Caller) As(token string) Caller {
	c.Token = token
	return c
}

// In is the same caller, acting for another tenant.
func (c Caller) In(tenant string) Caller {
	c.Tenant = tenant
	return c
}

// Do makes a call. A broken connection fails the test unless the request has a context of its own.
func (c Caller) Do(r Request) Answer {
	c.TB.Helper()
	a := c.Try(r)
	if a.Err != nil && r.Context == nil {
		c.TB.Fatalf("%s %s: %v", r.Method, r.Path, a.Err)
	}
	return a
}

// Try makes a call; it may be made from any goroutine.
func (c Caller) Try(r Request) Answer {
	ctx := r.Context
	if ctx == nil {
		ctx = context.Background()
	}
	req, err := http.NewRequestWithContext(ctx, r.Method, c.URL+r.Path, bytes.NewReader(r.body()))
	if err != nil {
		return Answer{Err: err}
	}
	c.headers(req, r)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{Err: err}
	}
	body, err := io.ReadAll(resp.Body)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: body, Err: errors.Join(err, resp.Body.Close())}
}

func (r Request) body() []byte {
	switch b := r.Body.(type) {
	case nil:
		return nil
	case []byte:
		return b
	case string:
		return []byte(b)
	}
	raw, err := json.Marshal(r.Body)
	if err != nil {
		panic(err) // a test's own literal
	}
	return raw
}

func (c Caller) headers(req *http.Request, r Request) {
	if r.Body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if !r.Anonymous {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if c.Tenant != "" && !r.Anonymous {
		req.Header.Set("X-Tenant-ID", c.Tenant)
	}
	for name, value := range r.Header {
		req.Header.Set(name, value)
	}
}

// Must makes a call that has to succeed, and decodes the answer unless into is nil.
func (c Caller) Must(r Request, into any) Answer {
	c.TB.Helper()
	a := c.Do(r)
	if a.Status/100 != 2 {
		c.TB.Fatalf("%s %s: %d %s", r.Method, r.Path, a.Status, a.Body)
	}
	if into != nil {
		a.Into(c.TB, into)
	}
	return a
}

// Operation is a route of the OpenAPI document.
type Operation struct {
	ID, Method, Path string
	// Inputs are the names of everything a caller can put in: parameters in path and query, and the members of
	// the body, dotted; [] stands for the items of a list.
	Inputs []string
}

// Operations reads every route from the document that the server serves, so that a new one is met without
// anybody naming it.
func (c Caller) Operations() []Operation {
	c.TB.Helper()
	var doc document
	c.Must(Request{Path: "/v1/openapi.json", Anonymous: true}, &doc)
	var all []Operation
	for path, methods := range doc.Paths {
		for method, op := range methods {
			o := Operation{ID: op.ID, Method: strings.ToUpper(method), Path: path}
			for _, p := range op.Parameters {
				o.Inputs = append(o.Inputs, p.Name)
			}
			for _, content := range op.Body.Content {
				o.Inputs = append(o.Inputs, doc.members(content.Schema, "")...)
			}
			all = append(all, o)
		}
	}
	slices.SortFunc(all, func(a, b Operation) int { return strings.Compare(a.ID, b.ID) })
	return all
}

// document is the part of an OpenAPI document that is needed here.
type document struct {
	Paths map[string]map[string]struct {
		ID         string `json:"operationId"`
		Parameters []struct {
			Name string `json:"name"`
		} `json:"parameters"`
		Body struct {
			Content map[string]struct {
				Schema schema `json:"schema"`
			} `json:"content"`
		} `json:"requestBody"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]schema `json:"schemas"`
	} `json:"components"`
}

type schema struct {
	Ref        string            `json:"$ref"`
	Properties map[string]schema `json:"properties"`
	Items      *schema           `json:"items"`
	AnyOf      []schema          `json:"anyOf"`
}

// members lists the leaves of a body. The wire types do not contain themselves.
func (d document) members(s schema, prefix string) []string {
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		return d.members(d.Components.Schemas[name], prefix)
	}
	var out []string
	for _, alternative := range s.AnyOf {
		out = append(out, d.members(alternative, prefix)...)
	}
	if s.Items != nil {
		return append(out, d.members(*s.Items, prefix+"[]")...)
	}
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		out = append(out, d.members(s.Properties[name], strings.TrimPrefix(prefix+"."+name, "."))...)
	}
	if len(out) == 0 && prefix != "" {
		out = append(out, prefix)
	}
	return slices.Compact(out)
}
