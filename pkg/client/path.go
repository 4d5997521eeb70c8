package client

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// escapedPath escapes each segment. A path with an empty, . or .. segment is refused here already: on its
// way some proxy might clean it into another secret's path.
func escapedPath(path string) (string, error) {
	segments := strings.Split(path, "/")
	for i, s := range segments {
		if s == "" || s == "." || s == ".." {
			return "", &vaultapi.Error{
				Status: http.StatusBadRequest, Code: "invalid_path",
				Message: "a path must have no empty, . or .. segment and neither begin nor end with /",
				Details: map[string]any{"path": path},
			}
		}
		segments[i] = url.PathEscape(s)
	}
	return strings.Join(segments, "/"), nil
}

// escapedID escapes an id or a name that stands as one segment.
func escapedID(id string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", &vaultapi.Error{Status: http.StatusBadRequest, Code: "invalid_request", Message: "the id is empty"}
	}
	return url.PathEscape(id), nil
}

// query collects the parameters that are not zero.
type query url.Values

func (q query) text(name, value string) {
	if value != "" {
		url.Values(q).Set(name, value)
	}
}

func (q query) number(name string, value int64) {
	if value != 0 {
		url.Values(q).Set(name, strconv.FormatInt(value, 10))
	}
}

func (q query) flag(name string, value bool) {
	if value {
		url.Values(q).Set(name, "true")
	}
}

func (q query) time(name string, value time.Time) {
	if !value.IsZero() {
		url.Values(q).Set(name, value.UTC().Format(time.RFC3339Nano))
	}
}

func (q query) page(limit int, cursor string) {
	q.number("limit", int64(limit))
	q.text("cursor", cursor)
}
