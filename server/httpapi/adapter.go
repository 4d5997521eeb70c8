package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// call is what a handler knows besides its input.
type call struct {
	who guard.Caller
	s   *Server
	x   *exchange
}

// endpoint is a row's handler with its types behind it.
type endpoint interface {
	serve(ctx context.Context, s *Server, x *exchange)
	// types are the input and the output, for the OpenAPI document.
	types() (in, out reflect.Type)
	mediaType() string
}

// typed is a handler of a few lines: what it takes is bound and decoded, what it gives is encoded.
type typed[In, Out any] struct {
	run    func(context.Context, *call, In) (Out, error)
	status func(Out) int            // nil: the row's success status
	etag   func(Out) string         // nil: none
	encode func([]byte, Out) []byte // nil: encoding/json
	media  string                   // "": application/json
	amend  func([]byte) []byte      // repairs the body before it is checked; nil: it is taken as it is
	wire   reflect.Type             // what the encoding makes of Out; nil: Out itself
	plan   plan

	variant variant[Out] // of the answer, for who asks for it by Accept
}

// variant is another form of an answer.
type variant[Out any] struct {
	media  []string
	encode func([]byte, Out) []byte
}

// handle makes an endpoint.
func handle[In, Out any](run func(context.Context, *call, In) (Out, error)) *typed[In, Out] {
	return &typed[In, Out]{run: run, plan: planOf(reflect.TypeFor[In]())}
}

func (e *typed[In, Out]) withStatus(status func(Out) int) *typed[In, Out] {
	e.status = status
	return e
}

func (e *typed[In, Out]) withEtag(etag func(Out) string) *typed[In, Out] {
	e.etag = etag
	return e
}

func (e *typed[In, Out]) withEncoding(encode func([]byte, Out) []byte) *typed[In, Out] {
	e.encode = encode
	return e
}

func (e *typed[In, Out]) withMedia(media string) *typed[In, Out] {
	e.media = media
	return e
}

// withVariant adds a form of the answer for callers whose Accept names one of its media types.
func (e *typed[In, Out]) withVariant(encode func([]byte, Out) []byte, media ...string) *typed[In, Out] {
	e.variant = variant[Out]{media: media, encode: encode}
	return e
}

// withRawBreaks takes line breaks and tabs that stand raw inside of JSON strings for what they are (contract OC-30).
func (e *typed[In, Out]) withRawBreaks() *typed[In, Out] {
	e.amend = escapeBreaks
	return e
}

// withWireType says what the answer looks like where a handler's output is no wire type.
func (e *typed[In, Out]) withWireType(example any) *typed[In, Out] {
	e.wire = reflect.TypeOf(example)
	return e
}

func (e *typed[In, Out]) types() (in, out reflect.Type) {
	if e.wire != nil {
		return reflect.TypeFor[In](), e.wire
	}
	return reflect.TypeFor[In](), reflect.TypeFor[Out]()
}

func (e *typed[In, Out]) mediaType() string { return cmp.Or(e.media, mediaJSON) }

// enter is what every routed request goes through: rate limit, authentication, tenant.
func (s *Server) enter(ctx context.Context, x *exchange, row *route) {
	x.row = row
	s.metrics.entered(row)
	v, err := s.admit(ctx, x)
	if err != nil || !v.ok {
		s.refuse(ctx, x, v, err)
		return
	}
	s.limitHeaders(x, v)
	row.endpoint.serve(ctx, s, x)
}

// admit finds out who calls and counts the call. A caller that is not known is counted by its source.
func (s *Server) admit(ctx context.Context, x *exchange) (verdict, error) {
	if x.row.anonymous {
		return s.anonymous(x, x.row.rate), nil
	}
	bearer, err := authn.Bearer(x.r.Header["Authorization"])
	if err != nil {
		return s.anonymous(x, rateAnonymous), err
	}
	who, err := s.auth.Authenticate(ctx, bearer)
	if err != nil {
		return s.anonymous(x, rateAnonymous), err
	}
	who.SourceIP, who.UserAgent, who.RequestID = x.source, userAgent(x.r), x.requestID
	x.who = who
	x.bucket = bucketKey{tenant: who.Tenant, id: who.ID, category: x.row.rate}
	v := s.limiter.take(x.bucket, 1, x.start)
	if !v.ok {
		return v, nil
	}
	if wanted := wantedTenant(x); wanted != "" {
		if who, err = s.auth.ResolveTenant(ctx, who, wanted); err != nil {
			return v, err
		}
		x.who = who
	}
	return v, nil
}

func (s *Server) anonymous(x *exchange, c category) verdict {
	return s.limiter.take(bucketKey{id: sourceKey(x.source), category: c}, 1, x.start)
}

// wantedTenant: the prefix goes before the header (contract section 15.3).
func wantedTenant(x *exchange) string {
	if x.tenant != "" {
		return x.tenant
	}
	return x.r.Header.Get(headerTenant)
}

func (e *typed[In, Out]) serve(ctx context.Context, s *Server, x *exchange) {
	var in In
	if err := e.bind(x, &in); err != nil {
		s.reject(ctx, x, err)
		return
	}
	out, err := e.run(ctx, &call{who: x.who, s: s, x: x}, in)
	if err != nil {
		s.fail(ctx, x, err)
		return
	}
	e.send(ctx, s, x, out)
}

func (e *typed[In, Out]) bind(x *exchange, in *In) error {
	v := reflect.ValueOf(in).Elem()
	if err := e.plan.bind(v, x); err != nil {
		return err
	}
	if e.plan.body < 0 {
		return nil
	}
	limit := int64(maxBody)
	if x.row.anonymous {
		limit = maxBodyAnon
	}
	body, err := readBody(x, limit, e.amend)
	if err != nil {
		return err
	}
	return decodeInto(v.Field(e.plan.body).Addr().Interface(), body)
}

// send answers with the output, or with 304 when the caller holds it already.
func (e *typed[In, Out]) send(ctx context.Context, s *Server, x *exchange, out Out) {
	status := x.row.successStatus()
	if e.status != nil {
		status = e.status(out)
	}
	if e.etag != nil && s.unchanged(x, e.etag(out)) {
		x.WriteHeader(http.StatusNotModified)
		return
	}
	if status == http.StatusNoContent {
		x.WriteHeader(status)
		return
	}
	encode, media := e.encode, e.mediaType()
	if len(e.variant.media) > 0 {
		x.Header().Set("Vary", "Accept")
		if wanted := accepted(x.r.Header, e.variant.media); wanted != "" {
			encode, media = e.variant.encode, wanted
		}
	}
	if encode == nil {
		s.sendJSON(ctx, x, status, out)
		return
	}
	buf := s.buffers.get()
	*buf = encode(*buf, out)
	x.answer(status, media, *buf)
	s.buffers.put(buf)
}

// accepted is the first media type of Accept that is among those offered; weights are not looked at.
func accepted(h http.Header, offered []string) string {
	for part := range strings.SplitSeq(strings.Join(h.Values("Accept"), ","), ",") {
		media, _, err := mime.ParseMediaType(part)
		if err == nil && slices.Contains(offered, media) {
			return media
		}
	}
	return ""
}

func (s *Server) sendJSON(ctx context.Context, x *exchange, status int, out any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(out); err != nil {
		s.fail(ctx, x, fault.Internal(err, "answer of %s", x.row.id))
		return
	}
	x.answer(status, mediaJSON, b.Bytes())
}
