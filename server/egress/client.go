package egress

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"syscall"
	"time"
)

const (
	maxAnswer    = 64 << 10
	maxHeader    = 16 << 10
	idleTime     = 30 * time.Second
	idlePerHost  = 4
	idleInAll    = 256
	lookupsBound = 5 * time.Second
)

// Resolver finds the addresses of a name; *net.Resolver is one.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

// Options say where calls may go.
type Options struct {
	AllowPrivate bool           // plain http and addresses that are not public are called too
	Roots        *x509.CertPool // authorities of receivers' certificates; nil: those of the system
	Resolver     Resolver       // nil: the system's
}

// Client calls addresses that users name. Make it with New.
type Client struct {
	allowPrivate bool
	judge        judge
	resolver     Resolver
	dial         func(ctx context.Context, network, address string) (net.Conn, error)
	transport    *http.Transport
}

// New makes a client.
func New(o Options) *Client {
	c := &Client{allowPrivate: o.AllowPrivate, judge: newJudge(), resolver: o.Resolver}
	if c.resolver == nil {
		c.resolver = net.DefaultResolver
	}
	c.dial = (&net.Dialer{Control: c.control}).DialContext
	c.transport = &http.Transport{
		DialContext: c.connect, TLSClientConfig: &tls.Config{RootCAs: o.Roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		MaxIdleConns: idleInAll, MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleTime,
	}
	return c
}

// Close ends connections that are kept for later calls.
func (c *Client) Close() { c.transport.CloseIdleConnections() }

// Post sends body to a URL and returns the status of the answer, whatever it is; of what else the answer holds
// nothing is kept. The call ends with ctx. Errors have ErrRefused in their chain where the call may not be made.
func (c *Client) Post(ctx context.Context, to string, header http.Header, body []byte) (status int, err error) {
	if err := c.CheckURL(to); err != nil {
		return 0, fmt.Errorf("the URL %w: %w", err, ErrRefused)
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, to, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	r.Header = header
	answer, err := c.transport.RoundTrip(r) // not a http.Client, which would follow redirects and carry cookies
	if err != nil {
		return 0, err
	}
	// Read so that the connection can be used again; how the rest of an answer ends changes nothing.
	_, _ = io.Copy(io.Discard, io.LimitReader(answer.Body, maxAnswer))
	_ = answer.Body.Close()
	return answer.StatusCode, nil
}

// connect resolves a host, judges its addresses, and connects to one that it judged.
func (c *Client) connect(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addrs, err := c.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	var failures []error
	for _, a := range addrs {
		conn, err := c.dial(ctx, network, net.JoinHostPort(a.String(), port))
		if err == nil {
			return conn, nil
		}
		failures = append(failures, err)
	}
	return nil, errors.Join(failures...)
}

// addresses are those of a host. One that is refused refuses all: who mixes them tries something.
func (c *Client) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	addrs, err := c.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "no addresses", Name: host, IsNotFound: true}
	}
	if c.allowPrivate {
		return addrs, nil
	}
	for _, a := range addrs {
		if err := c.judge.check(a); err != nil {
			return nil, err
		}
	}
	return addrs, nil
}

func (c *Client) lookup(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupsBound)
	defer cancel()
	return c.resolver.LookupNetIP(ctx, "ip", host)
}

// control looks once more at the address of the socket itself, right before it connects.
func (c *Client) control(_, address string, _ syscall.RawConn) error {
	if c.allowPrivate {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return c.judge.check(to.Addr())
}
