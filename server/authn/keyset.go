package authn

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"golang.org/x/sync/singleflight"
)

const (
	// keysFresh is how long published keys are believed without another look (contract section 15.1): a key that
	// is no longer published ends after it.
	keysFresh = 10 * time.Minute
	// keysStale is how long they are believed when looking fails.
	keysStale = time.Hour
	// keysPause is the least time between two looks: whoever sends made-up key ids causes no more.
	keysPause = 10 * time.Second

	maxKeySet  = 1 << 20
	keyTimeout = 10 * time.Second
)

// KeySource reads a JSON Web Key Set.
type KeySource func(context.Context) ([]byte, error)

// NewKeySource reads from where: an https URL, whose server one of the authorities of caFile vouches for (""
// takes the system's), or a file.
func NewKeySource(where, caFile string) (KeySource, error) {
	u, err := url.Parse(where)
	if err != nil || u.Scheme == "" || strings.HasPrefix(where, "/") {
		return fileSource(where, caFile)
	}
	if u.Scheme != "https" || u.Host == "" || u.User != nil {
		return nil, fmt.Errorf("keys %s: give a file or a URL of https without credentials", u.Redacted())
	}
	roots, err := authorities(caFile)
	if err != nil {
		return nil, err
	}
	c := &http.Client{
		Transport:     &http.Transport{Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return func(ctx context.Context) ([]byte, error) { return fetchKeys(ctx, c, where) }, nil
}

func fileSource(file, caFile string) (KeySource, error) {
	if caFile != "" {
		return nil, errors.New("an authority is of use only where the keys come from a URL")
	}
	if _, err := os.Stat(file); err != nil {
		return nil, fmt.Errorf("keys: %w", err)
	}
	return func(context.Context) ([]byte, error) { return os.ReadFile(file) }, nil
}

// authorities reads PEM; nil for "", which means the system's.
func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("authority: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("authority %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

func fetchKeys(ctx context.Context, c *http.Client, where string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where, nil)
	if err != nil {
		return nil, err
	}
	resp, err := c.Do(req)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxKeySet+1))
	switch err = errors.Join(err, resp.Body.Close()); {
	case err != nil:
		return nil, err
	case resp.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("keys of %s: status %d", where, resp.StatusCode)
	case len(raw) > maxKeySet:
		return nil, fmt.Errorf("keys of %s are more than %d bytes", where, maxKeySet)
	}
	return raw, nil
}

// keySet holds what a source published last.
type keySet struct {
	source KeySource
	now    func() time.Time
	looks  singleflight.Group // whoever needs a look joins the one under way

	mu     sync.Mutex
	keys   []jose.JSONWebKey
	loaded time.Time // of keys
	tried  time.Time // of the last look
	failed error     // of the last look
}

// find returns the keys that may have signed with an id; every key for "". No key is no error. It is an error when
// the source could not be read and what was read before is too old.
func (k *keySet) find(ctx context.Context, id string) ([]crypto.PublicKey, error) {
	if k.needs(id) {
		_, _, _ = k.looks.Do("", func() (any, error) { k.look(ctx); return nil, nil }) // what came of it is in k
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.loaded.IsZero() || k.now().Sub(k.loaded) > keysStale {
		return nil, errors.Join(errors.New("no keys that are less than an hour old"), k.failed)
	}
	return k.named(id), nil
}

func (k *keySet) needs(id string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return due(k.now(), k.loaded, k.tried, len(k.named(id)) > 0)
}

// due tells whether to look at the source: what is known has aged, or does not hold the key, and the last look is
// some time ago.
func due(now, loaded, tried time.Time, known bool) bool {
	if !tried.IsZero() && now.Sub(tried) < keysPause {
		return false
	}
	return !known || now.Sub(loaded) > keysFresh
}

// look keeps what is known when the source fails or holds no key. Others may wait for it, so that it goes on when
// its caller gives up.
func (k *keySet) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), keyTimeout)
	defer cancel()
	raw, err := k.source(ctx)
	var keys []jose.JSONWebKey
	if err == nil {
		keys, err = parseKeys(raw)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.tried, k.failed = k.now(), err
	if err == nil {
		k.keys, k.loaded = keys, k.tried
	}
}

// parseKeys takes the public keys for signatures out of a set; whatever else it holds is left out.
func parseKeys(raw []byte) ([]jose.JSONWebKey, error) {
	var set jose.JSONWebKeySet
	if err := json.Unmarshal(raw, &set); err != nil {
		return nil, errors.New("the keys are no JSON Web Key Set")
	}
	var keys []jose.JSONWebKey
	for _, key := range set.Keys {
		if key.IsPublic() && key.Valid() && (key.Use == "" || key.Use == "sig") && verifies(key.Key) {
			keys = append(keys, key)
		}
	}
	if len(keys) == 0 {
		return nil, errors.New("the JSON Web Key Set holds no public key for signatures")
	}
	return keys, nil
}

// verifies tells whether a key is of a kind that a cluster signs with.
func verifies(key crypto.PublicKey) bool {
	switch key.(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey, ed25519.PublicKey:
		return true
	}
	return false
}

func (k *keySet) named(id string) []crypto.PublicKey {
	var out []crypto.PublicKey
	for _, key := range k.keys {
		if id == "" || key.KeyID == id {
			out = append(out, key.Key)
		}
	}
	return out
}
