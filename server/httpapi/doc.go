// Package httpapi is the edge of the server: it turns requests under /v1 into calls of the domain services and
// their results into answers.
//
// A request passes the path gate (gate.go) before anything routes it, then the mux built from the one route
// table (routes.go), then the adapter (adapter.go): rate limit, authentication, strict decoding, a handler of a
// few lines, encoding. problem.go alone knows HTTP statuses of errors; encode.go alone opens secret values.
package httpapi
