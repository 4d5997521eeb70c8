package httpapi

import (
	"context"
	"log/slog"
	"net/netip"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Config is how the edge behaves. The zero value limits by the profile `cluster`, trusts no proxy, keeps
// metrics behind scope admin and logs nothing.
type Config struct {
	Limits         Limits
	TrustedProxies []netip.Prefix         // whose X-Forwarded-For is believed
	PublicMetrics  bool                   // /v1/metrics without a token
	Collectors     []prometheus.Collector // measurements of what lies behind the edge
	Now            func() time.Time
	Log            *slog.Logger
}

// Limits says how many calls an identity may make (contract section 16.2).
type Limits struct {
	Profile   string         // documented | cluster | unlimited; empty: cluster
	PerMinute map[string]int // overrides by category name, such as read_secrets
}

// Authenticator tells whose token it is, and for which tenant its caller acts (contract section 15).
type Authenticator interface {
	Authenticate(ctx context.Context, bearer string) (guard.Caller, error)
	ResolveTenant(ctx context.Context, who guard.Caller, requested string) (guard.Caller, error)
}

// Edge records what never reaches a domain: actions auth_failed, request_invalid and rate_limited.
type Edge interface {
	Record(ctx context.Context, e guard.Entry) error
}

// Probe looks at one component. Only the message of a fault is shown to callers, any other error is not.
type Probe func(ctx context.Context) (vaultapi.Check, error)

// System is what the server tells about itself.
type System struct {
	Version, Commit string
	InstanceID      string
	RestoreEpoch    int64
	Started         time.Time
	Probes          map[string]Probe                                    // database, encryption: those in use
	DatabaseEmpty   func(ctx context.Context) bool                      // no keys yet; nil: not known
	SecretsTotal    func(ctx context.Context) (map[string]int64, error) // live secrets per tenant; nil: not measured
}

func (c Config) withDefaults() Config {
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c
}
