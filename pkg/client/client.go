package client

import (
	"context"
	"crypto/x509"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Defaults of Options.
const (
	DefaultRetries   = 3
	DefaultTimeout   = 30 * time.Second
	defaultUserAgent = "scaivault-go"
)

// TokenSource gives the bearer token for one call; it is asked each time, so it should cache.
type TokenSource func(ctx context.Context) (string, error)

// Options say where the server is and who calls. Only BaseURL is required.
type Options struct {
	BaseURL     string      // https://host[:port][/prefix]; a trailing /v1 is dropped
	Token       string      // bearer token; at most one of Token, TokenSource
	TokenSource TokenSource // for tokens that change
	TenantID    string      // sent as X-Tenant-ID; needs the role partner_admin (contract section 15.3)
	PartnerID   string      // sent as X-Partner-ID: context for servers of several partners
	UserAgent   string      // default scaivault-go

	HTTPClient *http.Client   // own transport; then CAFile and RootCAs must be empty. Its redirect policy is replaced
	CAFile     string         // PEM file with the authorities that may vouch for the server; read for each new connection
	RootCAs    *x509.CertPool // the same as a pool

	Timeout time.Duration // of one attempt, a long poll's wait not counted; default 30 s
	Retries int           // repeats after 429 and 503; 0 means 3, a negative number none
	Log     *slog.Logger  // one debug line per attempt: method, path, status, never a token or a body
}

// Client is safe for concurrent use. Make it with New.
type Client struct {
	Secrets       *Secrets
	Policies      *Policies
	Rotation      *Rotation
	Audit         *Audit
	Subscriptions *Subscriptions
	Webhooks      *Webhooks
	PKI           *PKI
	Auth          *Auth
	TrustRules    *TrustRules
	System        *System

	SecretPolicies *SecretPolicies

	base      string
	http      *http.Client
	token     TokenSource
	tenant    string
	partner   string
	userAgent string
	timeout   time.Duration
	retries   int
	log       *slog.Logger
}

// New checks the options and makes a client; it sends nothing.
func New(o Options) (*Client, error) {
	base, err := baseURL(o.BaseURL)
	if err != nil {
		return nil, err
	}
	if o.Token != "" && o.TokenSource != nil {
		return nil, errors.New("give either a token or a token source, not both")
	}
	hc, err := httpClient(o)
	if err != nil {
		return nil, err
	}
	c := &Client{
		base: base, http: hc, token: o.TokenSource, log: o.Log,
		tenant: o.TenantID, partner: o.PartnerID,
		userAgent: defaulted(o.UserAgent, defaultUserAgent), timeout: defaulted(o.Timeout, DefaultTimeout),
		retries: max(defaulted(o.Retries, DefaultRetries), 0),
	}
	if o.Token != "" {
		c.token = fixed(o.Token)
	}
	return c.wired(), nil
}

// WithToken returns a client for another identity that shares this one's connections.
func (c *Client) WithToken(source TokenSource) *Client {
	other := *c
	other.token = source
	return other.wired()
}

// CloseIdleConnections ends the connections that no call uses now.
func (c *Client) CloseIdleConnections() { c.http.CloseIdleConnections() }

func (c *Client) wired() *Client {
	c.Secrets, c.Policies, c.Rotation, c.Audit = &Secrets{c}, &Policies{c}, &Rotation{c}, &Audit{c}
	c.SecretPolicies = &SecretPolicies{c}
	c.Subscriptions, c.Webhooks = &Subscriptions{c}, &Webhooks{c}
	c.PKI = &PKI{c}
	c.Auth, c.TrustRules, c.System = &Auth{c}, &TrustRules{c}, &System{c}
	return c
}

func fixed(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

func defaulted[T comparable](given, otherwise T) T {
	var zero T
	if given == zero {
		return otherwise
	}
	return given
}

func baseURL(s string) (string, error) {
	u, err := url.Parse(s)
	if err != nil || (u.Scheme != "https" && u.Scheme != "http") || u.Host == "" {
		return "", errors.New("the base URL must be like https://vault.example.com")
	}
	if u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return "", errors.New("the base URL must not carry credentials, a query or a fragment")
	}
	return strings.TrimSuffix(strings.TrimRight(u.String(), "/"), "/v1"), nil
}
