package server

import (
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/pki/revocation"
)

// Config is how a server runs; docs/spec/server-configuration.md describes every setting.
type Config struct {
	Listen string // host:port; "": 0.0.0.0:8443, and 127.0.0.1:8443 in development

	DataDir           string // directory of the embedded database
	DatabaseURL       string // PostgreSQL instead of the embedded database
	DatabaseDirectURL string // PostgreSQL without a pooler in between, for LISTEN
	RootKeyFile       string

	TLSCertFile  string
	TLSKeyFile   string
	InsecureHTTP bool // plain HTTP outside development, where TLS ends before the server

	Dev      bool   // plain HTTP, an all-powerful token, hardly any rate limit, a root key of its own
	DevToken string // "" in development: one is drawn and printed

	LogLevel  string // debug | info | warn | error; "": info
	LogFormat string // json | text; "": json

	KubernetesAuth  bool     // ServiceAccounts of the cluster that the server runs in may exchange their tokens
	Kubeconfig      string   // how to reach that cluster; "": as a pod of it
	Clusters        []string // further clusters: name=…,issuer=…, and kubeconfig=… or jwks=…[,ca=…]
	OperatorAccount string   // <namespace>/<name> of the operator's ServiceAccount in the home cluster

	RateLimits         string   // profile: documented | cluster; "": cluster
	RateLimitOverrides []string // <category>=<calls per minute>
	TrustedProxies     []string // CIDR whose X-Forwarded-For is believed
	PublicMetrics      bool     // /v1/metrics without a token

	// PublicURL is where clients outside reach /v1: the addresses of lists and OCSP in certificates. "": certificates name none.
	PublicURL string

	WebhookAllowPrivate bool   // receivers of webhooks may have addresses that are not public, and be called by plain http
	WebhookCAFile       string // further authorities of receivers' certificates

	Version, Commit string    // of the build
	Stderr          io.Writer // where the log goes

	// Now and BeforeCommit are for tests and no setting gives them: the clock (nil: time.Now), and what runs right
	// before each COMMIT, whose error counts as the commit's.
	Now          func() time.Time
	BeforeCommit func() error
}

// ConfigError lists everything that is wrong with a configuration, each with the next step.
type ConfigError struct{ Problems []string }

// Error has one line per problem.
func (e *ConfigError) Error() string {
	return "the server cannot start:\n  - " + strings.Join(e.Problems, "\n  - ")
}

// Validate returns a *ConfigError that says everything that is missing or wrong at once.
func (c Config) Validate() error {
	var p problems
	c.checkDatabase(&p)
	c.checkTransport(&p)
	c.checkTrust(&p)
	_, err := c.limits()
	p.check(err)
	_, err = c.proxies()
	p.check(err)
	c.checkPublicURL(&p)
	_, err = c.webhookRoots()
	p.check(err)
	_, err = c.level()
	p.check(err)
	if f := c.LogFormat; f != "" && f != "json" && f != "text" {
		p.add("--log-format (LOG_FORMAT) is json or text, not %q", f)
	}
	if len(p) > 0 {
		return &ConfigError{Problems: p}
	}
	return nil
}

type problems []string

func (p *problems) add(format string, args ...any) { *p = append(*p, fmt.Sprintf(format, args...)) }

func (p *problems) check(err error) {
	if err != nil {
		*p = append(*p, err.Error())
	}
}

func (c Config) checkDatabase(p *problems) {
	switch {
	case c.DataDir != "" && c.DatabaseURL != "":
		p.add("both --data-dir and DATABASE_URL are given: choose the embedded database or PostgreSQL")
	case c.DataDir == "" && c.DatabaseURL == "" && !c.Dev:
		p.add("nothing says where data is kept: give --data-dir DIR (DATA_DIR) for the embedded database, or DATABASE_URL for PostgreSQL")
	}
	if c.DatabaseDirectURL != "" && c.DatabaseURL == "" {
		p.add("DATABASE_DIRECT_URL is of use only beside DATABASE_URL")
	}
	if c.RootKeyFile == "" && (!c.Dev || c.DatabaseURL != "") {
		p.add("the root key is missing: give --root-key-file FILE (ROOT_KEY_FILE); `scaivault-server root-key generate --out FILE` makes one")
	}
}

func (c Config) checkTransport(p *problems) {
	if _, _, err := net.SplitHostPort(c.listen()); err != nil {
		p.add("--listen (BIND_ADDRESS) %q is not host:port", c.Listen)
	}
	cert, key := c.TLSCertFile != "", c.TLSKeyFile != ""
	switch {
	case cert != key:
		p.add("--tls-cert-file (TLS_CERT_FILE) and --tls-key-file (TLS_KEY_FILE) belong together: one of them is missing")
	case cert && c.InsecureHTTP:
		p.add("--insecure-http contradicts --tls-cert-file: leave one out")
	case !cert && !c.InsecureHTTP && !c.Dev:
		p.add("TLS is missing: give --tls-cert-file and --tls-key-file (TLS_CERT_FILE, TLS_KEY_FILE), or --insecure-http where TLS ends before this server")
	}
	if c.DevToken != "" && !c.Dev {
		p.add("--dev-token is only for --dev: make a token with `scaivault-server token create`")
	}
	if c.Dev && c.DevToken != "" && len(c.DevToken) < 4 {
		p.add("--dev-token has less than 4 characters")
	}
}

func (c Config) checkTrust(p *problems) {
	if c.OperatorAccount != "" {
		if _, _, err := authn.ParseServiceAccount(c.OperatorAccount); err != nil {
			p.add("--operator-service-account %q is not <namespace>/<name>", c.OperatorAccount)
		}
		if !c.KubernetesAuth {
			p.add("--operator-service-account needs --kubernetes-auth: the operator exchanges its ServiceAccount's token")
		}
	}
	if c.Kubeconfig != "" && !c.KubernetesAuth {
		p.add("--kubeconfig is of use only beside --kubernetes-auth")
	}
	_, err := c.clusters()
	p.check(err)
}

func (c Config) checkPublicURL(p *problems) {
	if c.PublicURL == "" {
		return
	}
	if err := revocation.CheckPublicURL(c.PublicURL); err != nil {
		p.add("--public-url (PUBLIC_URL): %s", err)
	}
}

func (c Config) clock() func() time.Time {
	if c.Now == nil {
		return time.Now
	}
	return c.Now
}

func (c Config) listen() string {
	switch {
	case c.Listen != "":
		return c.Listen
	case c.Dev:
		return "127.0.0.1:8443"
	}
	return "0.0.0.0:8443"
}

// rootKeyFile is where the root key is; in development it is beside the database.
func (c Config) rootKeyFile() string {
	if c.RootKeyFile == "" && c.Dev {
		return filepath.Join(c.DataDir, "root.key")
	}
	return c.RootKeyFile
}

// profile is the rate limits' profile: development has hardly any.
func (c Config) profile() string {
	if c.Dev && c.RateLimits == "" {
		return "unlimited"
	}
	return c.RateLimits
}

func (c Config) limits() (map[string]int, error) {
	if p := c.RateLimits; p != "" && p != "documented" && p != "cluster" {
		return nil, fmt.Errorf("--rate-limits (RATE_LIMITS) is documented or cluster, not %q", p)
	}
	out := map[string]int{}
	for _, o := range c.RateLimitOverrides {
		name, value, _ := strings.Cut(o, "=")
		n, err := strconv.Atoi(value)
		if err != nil || n < 1 || name == "" {
			return nil, fmt.Errorf("--rate-limit %q is not <category>=<calls per minute>", o)
		}
		out[name] = n
	}
	return out, nil
}

func (c Config) proxies() ([]netip.Prefix, error) {
	var out []netip.Prefix
	for _, s := range c.TrustedProxies {
		p, err := netip.ParsePrefix(s)
		if err != nil {
			return nil, fmt.Errorf("--trusted-proxy %q is not a network such as 10.0.0.0/8", s)
		}
		out = append(out, p.Masked())
	}
	return out, nil
}

func (c Config) level() (slog.Level, error) {
	if c.LogLevel == "" {
		return slog.LevelInfo, nil
	}
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return 0, fmt.Errorf("--log-level (LOG_LEVEL) is debug, info, warn or error, not %q", c.LogLevel)
	}
	return level, nil
}

// logger writes JSON lines, or text for people.
func (c Config) logger() (*slog.Logger, error) {
	level, err := c.level()
	if err != nil {
		return nil, err
	}
	out := c.Stderr
	if out == nil {
		out = io.Discard
	}
	options := &slog.HandlerOptions{Level: level}
	if c.LogFormat == "text" {
		return slog.New(slog.NewTextHandler(out, options)), nil
	}
	return slog.New(slog.NewJSONHandler(out, options)), nil
}
