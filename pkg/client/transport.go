package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

const dialTimeout = 10 * time.Second

func httpClient(o Options) (*http.Client, error) {
	roots, err := rootCAs(o)
	if err != nil {
		return nil, err
	}
	var hc http.Client
	if o.HTTPClient != nil {
		if roots != nil {
			return nil, errors.New("with an HTTP client of your own, set its authorities there")
		}
		hc = *o.HTTPClient
	} else {
		hc.Transport = transport(roots, o.CAFile)
	}
	hc.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &hc, nil
}

func rootCAs(o Options) (*x509.CertPool, error) {
	if o.CAFile == "" {
		return o.RootCAs, nil
	}
	if o.RootCAs != nil {
		return nil, errors.New("give either a CA file or a pool of authorities, not both")
	}
	return poolOf(o.CAFile)
}

func poolOf(file string) (*x509.CertPool, error) {
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("CA file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("CA file %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// transport keeps more idle connections than the standard one, which allows two per host: an operator and
// a busy service talk to one host only.
func transport(roots *x509.CertPool, caFile string) *http.Transport {
	t := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		TLSClientConfig:       &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          256,
		MaxIdleConnsPerHost:   64,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   dialTimeout,
		ExpectContinueTimeout: time.Second,
	}
	if caFile != "" {
		t.DialTLSContext = dialTrusting(caFile)
	}
	return t
}

// dialTrusting connects to servers that the authorities vouch for which the file holds at that moment: an install's
// authority is renewed while an operator runs for months. Behind a proxy those of the start count.
func dialTrusting(caFile string) func(ctx context.Context, network, addr string) (net.Conn, error) {
	return func(ctx context.Context, network, addr string) (net.Conn, error) {
		roots, err := poolOf(caFile)
		if err != nil {
			return nil, err
		}
		d := tls.Dialer{
			NetDialer: &net.Dialer{Timeout: dialTimeout},
			Config:    &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}},
		}
		return d.DialContext(ctx, network, addr)
	}
}
