package httpapi

import (
	"strings"
	"unicode/utf8"

	"github.com/scailabs/scaivault/server/fault"
)

const (
	prefixSecrets  = "/v1/secrets/"
	prefixTrails   = "/v1/audit/secrets/"
	prefixRotation = "/v1/rotation/policies/" // {id}/secrets/{path}
	prefixTenant   = "/v1/t/"
	prefixCA       = "/v1/pki/ca/" // {id}/ocsp/{request}

	maxEscapedPath = 2048 // 512 characters of a path, all escaped, and what stands before them
	maxSecretPath  = 512  // contract section 3.2
	maxSuffix      = len("/metadata")
	maxTenantID    = 64
)

// passage is a path that may be routed: without its tenant prefix, both as sent and decoded.
type passage struct {
	tenant        string // of /v1/t/{tenant}/…; "" without the prefix
	path, escaped string
}

// pass decides on the escaped path before anything routes it. ServeMux would redirect a//b and a/../b and hand
// %2e%2e on as `..`; here such a path is refused, never cleaned, so that what is judged is what was sent.
// On secret paths %2F is /.
func pass(escaped string) (passage, error) {
	var p passage
	if len(escaped) > maxEscapedPath {
		return p, invalidPath("the path is too long")
	}
	p.escaped = escaped
	if rest, ok := strings.CutPrefix(escaped, prefixTenant); ok {
		id, rest, ok := strings.Cut(rest, "/")
		if !ok || !isTenantID(id) {
			return p, invalidPath("/v1/t/ must be followed by a tenant's id and a route")
		}
		p.tenant, p.escaped = id, "/v1/"+rest
	}
	p.escaped = oneSegment(p.escaped)
	secret := isSecretPath(p.escaped)
	decoded, err := decodePath(p.escaped, secret)
	if err != nil {
		return p, err
	}
	if !secret && isSecretPath(decoded) {
		return p, invalidPath("the route itself must not be percent-encoded")
	}
	p.path = decoded
	return p, checkSegments(decoded, secret)
}

func isSecretPath(path string) bool {
	_, ok := secretName(path)
	return ok
}

// secretName is what follows a route's own part, where that is the path of a secret.
func secretName(path string) (string, bool) {
	for _, prefix := range []string{prefixSecrets, prefixTrails} {
		if name, ok := strings.CutPrefix(path, prefix); ok {
			return name, true
		}
	}
	if rest, ok := strings.CutPrefix(path, prefixRotation); ok {
		id, name, ok := strings.Cut(rest, "/secrets/")
		return name, ok && !strings.Contains(id, "/")
	}
	return "", false
}

func isTenantID(s string) bool {
	if s == "" || len(s) > maxTenantID {
		return false
	}
	for i := range len(s) {
		if !isPathByte(s[i]) {
			return false
		}
	}
	return true
}

// isPathByte: the characters of a secret's path, without the slash (contract section 3.2).
func isPathByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_'
}

// oneSegment writes the OCSP request that a path ends in with the alphabet of URLs and without padding, so that it is one
// segment: base64 has slashes, which clients send as they are or percent-encoded (RFC 6960, appendix A.1). What is no
// base64 stays as it is.
func oneSegment(escaped string) string {
	rest, ok := strings.CutPrefix(escaped, prefixCA)
	if !ok {
		return escaped
	}
	id, request, ok := strings.Cut(rest, "/ocsp/")
	if !ok || strings.Contains(id, "/") {
		return escaped
	}
	var b strings.Builder
	for i := 0; i < len(request); i++ {
		c := request[i]
		if c == '%' && i+2 < len(request) && isHex(request[i+1]) && isHex(request[i+2]) {
			c = unhex(request[i+1])<<4 | unhex(request[i+2])
			i += 2
		}
		if c = urlAlphabet(c); c == 0 {
			return escaped
		}
		b.WriteByte(c)
	}
	return prefixCA + id + "/ocsp/" + strings.TrimRight(b.String(), "=")
}

// urlAlphabet is a character of base64 as URLs write it; 0 where it is none.
func urlAlphabet(c byte) byte {
	switch {
	case c == '+':
		return '-'
	case c == '/':
		return '_'
	case c == '=' || isPathByte(c) || c >= 'A' && c <= 'Z':
		return c
	}
	return 0
}

// decodePath undoes percent encoding once. An encoded percent sign would allow a second round and is refused;
// an encoded slash is one only where slashes belong to the name.
func decodePath(escaped string, secret bool) (string, error) {
	if strings.IndexByte(escaped, '%') < 0 {
		return escaped, nil
	}
	var b strings.Builder
	b.Grow(len(escaped))
	for i := 0; i < len(escaped); i++ {
		c := escaped[i]
		if c == '%' {
			if i+2 >= len(escaped) || !isHex(escaped[i+1]) || !isHex(escaped[i+2]) {
				return "", invalidPath("a percent sign must be followed by two hexadecimal digits")
			}
			c = unhex(escaped[i+1])<<4 | unhex(escaped[i+2])
			i += 2
			if c == '%' || c == '/' && !secret {
				return "", invalidPath("the path must not hold an encoded percent sign or, outside of secret paths, an encoded slash")
			}
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}

// checkSegments refuses what could be read in two ways: empty, . and .. segments, control characters, broken
// UTF-8; and on secret paths everything that no path may hold.
func checkSegments(path string, secret bool) error {
	if path == "" || path[0] != '/' {
		return invalidPath("the path must begin with /")
	}
	for rest, more := path[1:], true; more; {
		var segment string
		segment, rest, more = strings.Cut(rest, "/")
		switch segment {
		case "":
			return invalidPath("the path must not hold an empty segment and must not end with /")
		case ".", "..":
			return invalidPath("the path must not hold the segment %s", segment)
		}
		if err := checkBytes(segment); err != nil {
			return err
		}
	}
	if !secret {
		return nil
	}
	name, _ := secretName(path)
	return checkSecretName(name)
}

func checkBytes(segment string) error {
	for i := range len(segment) {
		if c := segment[i]; c < 0x20 || c == 0x7f || c == '\\' {
			return invalidPath("the path must not hold control characters or backslashes")
		}
	}
	if !utf8.ValidString(segment) {
		return invalidPath("the path must be UTF-8")
	}
	return nil
}

func checkSecretName(name string) error {
	if len(name) > maxSecretPath+maxSuffix {
		return invalidPath("a secret's path has at most %d characters", maxSecretPath)
	}
	for i := range len(name) {
		if !isPathByte(name[i]) && name[i] != '/' {
			return invalidPath("a secret's path may hold a-z, 0-9, -, _ and / only")
		}
	}
	return nil
}

func invalidPath(format string, args ...any) error {
	return fault.Invalid(fault.CodeInvalidPath, format, args...)
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func unhex(c byte) byte {
	switch {
	case c <= '9':
		return c - '0'
	case c >= 'a':
		return c - 'a' + 10
	}
	return c - 'A' + 10
}
