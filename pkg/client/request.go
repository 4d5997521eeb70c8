package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Limits of an answer's body. A batch may hold a hundred values of 1 MiB.
const (
	maxAnswer      = 32 << 20
	maxBatchAnswer = 128 << 20
	maxErrorAnswer = 1 << 20
)

// mediaPEM is what certificates and lists of revoked ones are asked for as.
const mediaPEM = "application/x-pem-file"

// codeRedirect is the code of a redirect, which is never followed.
const codeRedirect = "redirect_refused"

// request is one call of the API.
type request struct {
	method    string
	path      string // escaped, below /v1
	query     url.Values
	body      any    // JSON; nil sends none
	etag      string // for If-None-Match
	media     string // that the answer is wanted as, which then is decoded into a *[]byte; "": JSON
	repeat    bool   // may be sent again without harm
	anonymous bool   // carries no token
	wait      time.Duration
	limit     int64 // of the answer's body; 0 is maxAnswer
	accept    int   // a status that is an answer although it is not 2xx
}

// do sends the request, again where that is allowed, and decodes a 2xx answer into out (nil: ignored).
func (c *Client) do(ctx context.Context, r request, out any) error {
	body, err := encoded(r.body)
	if err != nil {
		return err
	}
	for attempt := 0; ; attempt++ {
		err = c.once(ctx, r, body, out)
		pause, again := c.again(r, err, attempt)
		if !again || !sleep(ctx, pause) {
			return err
		}
	}
}

// once is one attempt.
func (c *Client) once(ctx context.Context, r request, body []byte, out any) error {
	ctx, cancel := context.WithTimeout(ctx, c.timeout+r.wait)
	defer cancel()
	req, err := c.prepare(ctx, r, body)
	if err != nil {
		return err
	}
	start := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		c.trace(r, 0, "", start)
		return fmt.Errorf("cannot reach the vault: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	c.trace(r, resp.StatusCode, resp.Header.Get("X-Request-ID"), start)
	return decoded(r, resp, out)
}

func (c *Client) prepare(ctx context.Context, r request, body []byte) (*http.Request, error) {
	target := c.base + "/v1" + r.path
	if len(r.query) > 0 {
		target += "?" + r.query.Encode()
	}
	var reader io.Reader
	if body != nil {
		reader = bytes.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, r.method, target, reader)
	if err != nil {
		return nil, fmt.Errorf("request: %w", err)
	}
	c.headers(req, r, body != nil)
	if c.token == nil || r.anonymous {
		return req, nil
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("token: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	return req, nil
}

func (c *Client) headers(req *http.Request, r request, hasBody bool) {
	req.Header.Set("Accept", defaulted(r.media, "application/json"))
	req.Header.Set("User-Agent", c.userAgent)
	if hasBody {
		req.Header.Set("Content-Type", "application/json")
	}
	if c.tenant != "" && !r.anonymous {
		req.Header.Set("X-Tenant-ID", c.tenant)
	}
	if c.partner != "" && !r.anonymous {
		req.Header.Set("X-Partner-ID", c.partner)
	}
	if r.etag != "" {
		req.Header.Set("If-None-Match", `"`+r.etag+`"`)
	}
}

func (c *Client) trace(r request, status int, requestID string, start time.Time) {
	if c.log != nil {
		c.log.Debug("request", "method", r.method, "path", "/v1"+r.path, "status", status,
			"request_id", requestID, "took", time.Since(start).Round(time.Microsecond))
	}
}

// encoded gives the body's JSON. The encoder's own error is not passed on: it may quote a value.
func encoded(body any) ([]byte, error) {
	if body == nil {
		return nil, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(body); err != nil {
		return nil, errors.New("the request cannot be written as JSON: its data must be one JSON object")
	}
	return b.Bytes(), nil
}

// decoded reads an answer. Its decoder's error is not passed on either.
func decoded(r request, resp *http.Response, out any) error {
	switch s := resp.StatusCode; {
	case s == http.StatusNotModified:
		return ErrNotModified
	case s >= 300 && s < 400:
		return redirected(resp)
	case s >= 400 && s != r.accept:
		body, err := io.ReadAll(io.LimitReader(resp.Body, maxErrorAnswer))
		if err != nil {
			body = nil // the status alone says enough
		}
		return vaultapi.ParseError(s, resp.Header, body)
	}
	if out == nil {
		return nil
	}
	return decodedBody(r, resp, out)
}

func decodedBody(r request, resp *http.Response, out any) error {
	limit := defaulted(r.limit, maxAnswer)
	body, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	if err != nil {
		return fmt.Errorf("the answer to %s %s broke off: %w", r.method, r.path, err)
	}
	if int64(len(body)) > limit {
		return fmt.Errorf("the answer to %s %s is larger than %d bytes", r.method, r.path, limit)
	}
	if raw, ok := out.(*[]byte); ok {
		*raw = body
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	if err := dec.Decode(out); err != nil {
		return fmt.Errorf("the answer to %s %s is not what the API promises: is the base URL that of a vault?", r.method, r.path)
	}
	return nil
}

func redirected(resp *http.Response) error {
	host := "another address"
	if to, err := resp.Location(); err == nil {
		host = to.Scheme + "://" + to.Host
	}
	return &vaultapi.Error{
		Status: resp.StatusCode, Code: codeRedirect, RequestID: resp.Header.Get("X-Request-ID"),
		Message: "the server redirects to " + host + "; tokens are not sent there: set the base URL to the final address",
	}
}
