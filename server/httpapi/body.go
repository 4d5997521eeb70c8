package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/scailabs/scaivault/server/fault"
)

const (
	maxBody      = 2 << 20  // contract OC-11
	maxBodyAnon  = 64 << 10 // before the caller is known
	firstBodyBuf = 8 << 10  // what a caller gets by announcing a body; the rest only as it arrives
)

// readBody gives the request's JSON, checked but not decoded. A POST without a body is {} (contract OC-36). amend, if
// there is one, sees the body before it is checked.
func readBody(x *exchange, limit int64, amend func([]byte) []byte) ([]byte, error) {
	r := x.r
	if r.ContentLength > limit {
		return nil, tooLarge(limit)
	}
	buf := bytes.NewBuffer(make([]byte, 0, min(max(r.ContentLength+bytes.MinRead, 512), firstBodyBuf)))
	if _, err := buf.ReadFrom(http.MaxBytesReader(x.w, r.Body, limit)); err != nil {
		return nil, unreadable(err, limit)
	}
	body := bytes.TrimSpace(buf.Bytes())
	if len(body) == 0 {
		if r.Method == http.MethodPost {
			return []byte("{}"), nil
		}
		return nil, invalidRequest("this call needs a JSON body")
	}
	if err := checkContentType(r.Header); err != nil {
		return nil, err
	}
	if amend != nil {
		body = amend(body)
	}
	return body, checkJSON(body)
}

func checkContentType(h http.Header) error {
	kind, params, err := mime.ParseMediaType(h.Get("Content-Type"))
	charset := params["charset"]
	if err != nil || kind != "application/json" || charset != "" && !strings.EqualFold(charset, "utf-8") {
		return invalidRequest("a body must be sent as Content-Type application/json")
	}
	return nil
}

func unreadable(err error, limit int64) error {
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return tooLarge(limit)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return invalidRequest("the body ended early")
	}
	return invalidRequest("the body could not be read").Because(err)
}

func tooLarge(limit int64) error {
	return fault.New(fault.KindTooLarge, fault.CodeInvalidRequest, "the body is larger than %d bytes", limit)
}

// decodeInto fills a wire type. Unknown fields are ignored; numbers without a type of their own stay as written.
func decodeInto(target any, body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	err := dec.Decode(target)
	var mismatch *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mismatch) && mismatch.Field != "":
		return invalidRequest("field %s must be of type %s", mismatch.Field, jsonName(mismatch.Type)).With("field", mismatch.Field)
	}
	return invalidRequest("the body does not fit this call")
}
