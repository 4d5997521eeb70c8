package httpapi

import (
	"net/http"
	"strings"
)

// unchanged sets the ETag header and tells whether the caller named that etag in If-None-Match. Weak comparison
// applies (RFC 9110 section 13.1.2), and a `*` matches whatever there is.
func (s *Server) unchanged(x *exchange, etag string) bool {
	if etag == "" {
		return false
	}
	quoted := `"` + etag + `"`
	x.set(x.Header(), 5, headerEtag, quoted)
	if x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return false
	}
	for _, line := range x.r.Header["If-None-Match"] {
		for tag := range strings.SplitSeq(line, ",") {
			tag = strings.TrimSpace(tag)
			if tag == "*" || strings.TrimPrefix(tag, "W/") == quoted {
				return true
			}
		}
	}
	return false
}
