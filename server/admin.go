package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

const (
	adminSocket  = "admin.sock"
	maxAdminBody = 64 << 10
	maxAdminPage = 1000
	adminTimeout = 30 * time.Second
)

// administration answers an administrator on the server's own machine: tokens and trust rules, before anybody
// has a token. Whoever reaches it could read the database as well, so it asks for no other proof.
func administration(a *authn.Service) http.Handler {
	who := guard.System("administrator", guard.DefaultTenant)
	mux := http.NewServeMux()
	mux.Handle("POST /tokens", administer(func(r *http.Request, in authn.TokenSpec) (any, error) {
		return a.Create(r.Context(), who, in)
	}))
	mux.Handle("GET /tokens", administer(func(r *http.Request, _ struct{}) (any, error) {
		return a.List(r.Context(), who)
	}))
	mux.Handle("DELETE /tokens/{id}", administer(func(r *http.Request, _ struct{}) (any, error) {
		return struct{}{}, a.Revoke(r.Context(), who, r.PathValue("id"))
	}))
	mux.Handle("POST /trust-rules", administer(func(r *http.Request, in vaultapi.TrustRuleWrite) (any, error) {
		return a.CreateTrustRule(r.Context(), who, in)
	}))
	mux.Handle("GET /trust-rules", administer(func(r *http.Request, _ struct{}) (any, error) {
		return a.TrustRules(r.Context(), who, authn.TrustFilter{Limit: maxAdminPage, Cursor: r.URL.Query().Get("cursor")})
	}))
	mux.Handle("DELETE /trust-rules/{name}", administer(func(r *http.Request, _ struct{}) (any, error) {
		return struct{}{}, a.DeleteTrustRule(r.Context(), who, r.PathValue("name"))
	}))
	return mux
}

func administer[In any](do func(*http.Request, In) (any, error)) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var in In
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
		if err == nil && len(body) > 0 {
			err = json.Unmarshal(body, &in)
		}
		var out any
		if err != nil {
			err = fault.Invalid(fault.CodeInvalidRequest, "the request cannot be read")
		} else {
			out, err = do(r, in)
		}
		if err != nil {
			f := fault.From(err)
			writeJSON(w, http.StatusBadRequest, vaultapi.ErrorEnvelope{Error: vaultapi.ErrorBody{Code: f.Code, Message: f.Message, Details: f.Details}})
			return
		}
		writeJSON(w, http.StatusOK, out)
	})
}

// listenAdmin opens the socket in the data directory. The directory's lock is held, so a file of that name is
// left over from a server that ended without warning.
func listenAdmin(ctx context.Context, dataDir string) (net.Listener, error) {
	path := filepath.Join(dataDir, adminSocket)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("admin socket: %w", err)
	}
	var config net.ListenConfig
	l, err := config.Listen(ctx, "unix", path)
	if err != nil {
		return nil, fmt.Errorf("admin socket (a path of more than 107 bytes is too long): %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return nil, errors.Join(fmt.Errorf("admin socket: %w", err), l.Close())
	}
	return peerListener{l}, nil
}

// peerListener accepts only processes of the server's own user and of root.
type peerListener struct{ net.Listener }

// Accept implements net.Listener.
func (l peerListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if uid, err := peerUID(conn); err == nil && (uid == os.Geteuid() || uid == 0) {
			return conn, nil
		}
		_ = conn.Close() // whoever it is, it is not told why
	}
}

// Admin reaches the administration of a server, running or not.
type Admin struct {
	client *http.Client
	close  func() error
}

// OpenAdmin reaches the administration: through the socket of the server that runs on c.DataDir, else by opening
// the database itself. Only one process may have the embedded database open.
func OpenAdmin(ctx context.Context, c Config) (*Admin, error) {
	if c.DataDir != "" {
		path := filepath.Join(c.DataDir, adminSocket)
		if conn, err := dialAdmin(ctx, path); err == nil {
			return socketAdmin(path), conn.Close()
		} else if !errors.Is(err, os.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return nil, fmt.Errorf("the running server's admin socket: %w", err)
		}
	}
	return directAdmin(ctx, c)
}

func dialAdmin(ctx context.Context, path string) (net.Conn, error) {
	var d net.Dialer
	return d.DialContext(ctx, "unix", path)
}

func socketAdmin(path string) *Admin {
	transport := &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return dialAdmin(ctx, path) }}
	return &Admin{
		client: &http.Client{Transport: transport, Timeout: adminTimeout},
		close:  func() error { transport.CloseIdleConnections(); return nil },
	}
}

// Close gives back what OpenAdmin took.
func (a *Admin) Close() error { return a.close() }

// CreateToken makes a personal token.
func (a *Admin) CreateToken(ctx context.Context, spec authn.TokenSpec) (out authn.IssuedToken, err error) {
	return out, a.call(ctx, "POST", "/tokens", spec, &out)
}

// Tokens lists personal tokens, oldest first.
func (a *Admin) Tokens(ctx context.Context) (out []authn.TokenInfo, err error) {
	return out, a.call(ctx, "GET", "/tokens", nil, &out)
}

// RevokeToken ends a token at once.
func (a *Admin) RevokeToken(ctx context.Context, id string) error {
	return a.call(ctx, "DELETE", "/tokens/"+url.PathEscape(id), nil, nil)
}

// CreateTrustRule stores a trust rule.
func (a *Admin) CreateTrustRule(ctx context.Context, w vaultapi.TrustRuleWrite) (out vaultapi.TrustRule, err error) {
	return out, a.call(ctx, "POST", "/trust-rules", w, &out)
}

// TrustRules lists all trust rules by name.
func (a *Admin) TrustRules(ctx context.Context) (all []vaultapi.TrustRule, err error) {
	for cursor := ""; ; {
		var page vaultapi.TrustRuleList
		if err := a.call(ctx, "GET", "/trust-rules?cursor="+url.QueryEscape(cursor), nil, &page); err != nil {
			return nil, err
		}
		all = append(all, page.TrustRules...)
		if page.Cursor == nil {
			return all, nil
		}
		cursor = *page.Cursor
	}
}

// DeleteTrustRule removes a trust rule by name or id.
func (a *Admin) DeleteTrustRule(ctx context.Context, name string) error {
	return a.call(ctx, "DELETE", "/trust-rules/"+url.PathEscape(name), nil, nil)
}

// call makes one request; an error is a *vaultapi.Error when the administration refused.
func (a *Admin) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		raw, err := json.Marshal(in)
		if err != nil {
			return fmt.Errorf("encode request: %w", err)
		}
		body = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://admin"+path, body)
	if err != nil {
		return fmt.Errorf("admin request: %w", err)
	}
	answer, err := a.client.Do(req)
	if err != nil {
		return fmt.Errorf("the running server's admin socket: %w", err)
	}
	raw, err := io.ReadAll(answer.Body)
	if err = errors.Join(err, answer.Body.Close()); err != nil {
		return fmt.Errorf("read the administration's answer: %w", err)
	}
	if answer.StatusCode != http.StatusOK {
		return vaultapi.ParseError(answer.StatusCode, answer.Header, raw)
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(raw, out)
}
