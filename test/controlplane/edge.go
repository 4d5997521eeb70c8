package controlplane

import (
	"context"
	"sync"
	"testing"
)

var edge = sync.OnceValues(func() (*Plane, error) {
	return start(context.Background(), &Plane{Issuer: "https://edge.example"}, "-edge")
})

// Edge is Start for a second cluster beside it, whose tokens have another issuer and other keys.
func Edge(tb testing.TB) *Plane {
	tb.Helper()
	p, err := edge()
	if err != nil {
		tb.Fatalf("second control plane: %v", err)
	}
	return p
}

// PublishKeys lets everybody read the keys that verify this cluster's tokens, and gives their URL; the file ca.crt in
// Dir vouches for its server.
func (p *Plane) PublishKeys(tb testing.TB) string {
	tb.Helper()
	if _, err := p.Kubectl(tb.Context(), "create", "clusterrolebinding", "published-keys",
		"--clusterrole=system:service-account-issuer-discovery", "--group=system:unauthenticated"); err != nil {
		tb.Fatal(err)
	}
	return p.URL + "/openid/v1/jwks"
}
