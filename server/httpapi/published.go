package httpapi

import (
	"bytes"
	"context"
	"mime"
	"net/http"
	"reflect"
	"time"
)

// publication is an answer that anybody may have and keep.
type publication struct {
	media      string
	body       []byte
	etag       string    // without quotes; "": nobody should keep this
	thisUpdate time.Time // zero: the body has no time of its own
}

// published is an endpoint whose answers are publications.
type published[In any] struct {
	run   func(context.Context, *call, In) (publication, error)
	media string // the usual one
	plan  plan
}

func publish[In any](media string, run func(context.Context, *call, In) (publication, error)) *published[In] {
	return &published[In]{run: run, media: media, plan: planOf(reflect.TypeFor[In]())}
}

func (e *published[In]) types() (in, out reflect.Type) {
	return reflect.TypeFor[In](), reflect.TypeFor[document]()
}

func (e *published[In]) mediaType() string { return e.media }

func (e *published[In]) serve(ctx context.Context, s *Server, x *exchange) {
	var in In
	if err := e.plan.bind(reflect.ValueOf(&in).Elem(), x); err != nil {
		s.reject(ctx, x, err)
		return
	}
	p, err := e.run(ctx, &call{who: x.who, s: s, x: x}, in)
	if err != nil {
		s.fail(ctx, x, err)
		return
	}
	s.publish(x, p)
}

// cacheControl lets a cache give an answer for a second without asking again, no longer: that is how soon a revocation
// is to be seen. Asking again costs no body while nothing has changed.
const cacheControl = "public, no-transform, must-revalidate, max-age=1"

// publish answers with a publication, or with 304 to who holds it already (RFC 5019, section 6).
func (s *Server) publish(x *exchange, p publication) {
	if p.etag != "" {
		h := x.Header()
		h.Set("Cache-Control", cacheControl)
		if !p.thisUpdate.IsZero() {
			h.Set("Last-Modified", p.thisUpdate.UTC().Format(http.TimeFormat))
		}
		if s.unchanged(x, p.etag) {
			x.WriteHeader(http.StatusNotModified)
			return
		}
	}
	x.answer(http.StatusOK, p.media, p.body)
}

// rawBody gives a body of a media type as it was sent.
func rawBody(x *exchange, media string, limit int64) ([]byte, error) {
	if kind, _, err := mime.ParseMediaType(x.r.Header.Get("Content-Type")); err != nil || kind != media {
		return nil, invalidRequest("a body must be sent as Content-Type %s", media)
	}
	if x.r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	var b bytes.Buffer
	if _, err := b.ReadFrom(http.MaxBytesReader(x.w, x.r.Body, limit)); err != nil {
		return nil, unreadable(err, limit)
	}
	return b.Bytes(), nil
}
