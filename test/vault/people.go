package vault

import (
	"context"

	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/server/authn"
)

// Person makes a personal token as an administrator does on the server's machine.
func (s *Composed) Person(spec authn.TokenSpec) authn.IssuedToken {
	s.tb.Helper()
	var made authn.IssuedToken
	s.Admin(func(ctx context.Context, a *server.Admin) (err error) {
		made, err = a.CreateToken(ctx, spec)
		return err
	})
	return made
}

// asker is another person than the one with the all-powerful token, in a tenant: it asks for certificates.
func (s *Composed) asker(tenant string) Caller {
	if s.asks == "" {
		s.asks = s.Person(authn.TokenSpec{Name: "asker", Identity: "user:asker", Scopes: []string{"pki:issue"}, Roles: []string{"partner_admin"}}).Token
	}
	c := s.As(s.asks)
	c.Tenant = tenant
	return c
}

// Admin runs administrator's commands.
func (s *Composed) Admin(do func(context.Context, *server.Admin) error) {
	s.tb.Helper()
	ctx := context.Background()
	admin, err := server.OpenAdmin(ctx, s.Config)
	if err != nil {
		s.tb.Fatal(err)
	}
	if err := do(ctx, admin); err != nil {
		s.tb.Fatal(err)
	}
	if err := admin.Close(); err != nil {
		s.tb.Error(err)
	}
}

// Allow lets an identity do everything on the paths that a pattern covers.
func (s *Composed) Allow(identity, pattern string) (policy, binding string) {
	s.tb.Helper()
	var p, b struct {
		ID string `json:"id"`
	}
	rules := []object{{"path_pattern": pattern, "permissions": []string{"admin"}}, {"path_pattern": "pki:" + pattern, "permissions": []string{"issue"}}}
	s.Must(Request{Method: "POST", Path: "/v1/policies", Body: object{"name": "for-" + identity[len("user:"):], "rules": rules}}, &p)
	s.Must(Request{Method: "POST", Path: "/v1/policies/" + p.ID + "/bindings", Body: object{"identity_id": identity}}, &b)
	return p.ID, b.ID
}
