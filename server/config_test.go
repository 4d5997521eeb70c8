package server

import (
	"errors"
	"strings"
	"testing"
)

func TestConfigSaysEverythingThatIsMissing(t *testing.T) {
	good := Config{DataDir: "/data", RootKeyFile: "/key", InsecureHTTP: true}
	tests := map[string]struct {
		change func(*Config)
		want   []string // part of each problem, in order
	}{
		"good":                    {func(*Config) {}, nil},
		"nothing":                 {func(c *Config) { *c = Config{} }, []string{"--data-dir DIR", "--root-key-file FILE", "TLS is missing"}},
		"development":             {func(c *Config) { *c = Config{Dev: true} }, nil},
		"development, database":   {func(c *Config) { *c = Config{Dev: true, DatabaseURL: "postgres://x"} }, []string{"--root-key-file"}},
		"two databases":           {func(c *Config) { c.DatabaseURL = "postgres://x" }, []string{"both --data-dir and DATABASE_URL"}},
		"direct URL alone":        {func(c *Config) { c.DatabaseDirectURL = "postgres://x" }, []string{"DATABASE_DIRECT_URL"}},
		"half of TLS":             {func(c *Config) { c.TLSCertFile = "c" }, []string{"belong together"}},
		"TLS and plain":           {func(c *Config) { c.TLSCertFile, c.TLSKeyFile = "c", "k" }, []string{"contradicts"}},
		"dev token without dev":   {func(c *Config) { c.DevToken = "TOKEN" }, []string{"--dev-token is only for --dev"}},
		"short dev token":         {func(c *Config) { *c = Config{Dev: true, DevToken: "a"} }, []string{"less than 4"}},
		"address":                 {func(c *Config) { c.Listen = "8443" }, []string{"BIND_ADDRESS"}},
		"log":                     {func(c *Config) { c.LogLevel, c.LogFormat = "loud", "xml" }, []string{"LOG_LEVEL", "LOG_FORMAT"}},
		"operator":                {func(c *Config) { c.OperatorAccount = "operator" }, []string{"<namespace>/<name>", "--kubernetes-auth"}},
		"kubeconfig alone":        {func(c *Config) { c.Kubeconfig = "k" }, []string{"--kubeconfig"}},
		"cluster":                 {func(c *Config) { c.Clusters = []string{"name=edge"} }, []string{"--cluster"}},
		"cluster called home":     {func(c *Config) { c.Clusters = []string{"name=home,issuer=i,kubeconfig=k"} }, []string{"other than home"}},
		"cluster with a wildcard": {func(c *Config) { c.Clusters = []string{"name=*,issuer=i,kubeconfig=k"} }, []string{"DNS label"}},
		"cluster twice":           {func(c *Config) { c.Clusters = []string{"name=a,issuer=i,kubeconfig=k", "name=a,issuer=j,kubeconfig=k"} }, []string{"of another one"}},
		"cluster by two ways":     {func(c *Config) { c.Clusters = []string{"name=a,issuer=i,kubeconfig=k,jwks=f"} }, []string{"jwks=FILE-OR-URL"}},
		"cluster by no way":       {func(c *Config) { c.Clusters = []string{"name=a,issuer=i"} }, []string{"jwks=FILE-OR-URL"}},
		"authority of no URL":     {func(c *Config) { c.Clusters = []string{"name=a,issuer=i,kubeconfig=k,ca=c"} }, []string{"jwks=FILE-OR-URL"}},
		"good cluster by keys":    {func(c *Config) { c.Clusters = []string{"name=a,issuer=https://i,jwks=https://i/keys,ca=c"} }, nil},
		"good cluster":            {func(c *Config) { c.Clusters = []string{"name=a,issuer=https://i,kubeconfig=k"} }, nil},
		"rate profile":            {func(c *Config) { c.RateLimits = "none" }, []string{"RATE_LIMITS"}},
		"rate override":           {func(c *Config) { c.RateLimitOverrides = []string{"read_secrets=many"} }, []string{"--rate-limit"}},
		"proxy":                   {func(c *Config) { c.TrustedProxies = []string{"10.0.0.1"} }, []string{"--trusted-proxy"}},
	}
	for name, tc := range tests {
		t.Run(name, func(t *testing.T) {
			c := good
			tc.change(&c)
			var got *ConfigError
			err := c.Validate()
			if (err == nil) != (len(tc.want) == 0) || err != nil && !errors.As(err, &got) {
				t.Fatalf("error is %v", err)
			}
			if err == nil {
				return
			}
			if len(got.Problems) != len(tc.want) {
				t.Fatalf("problems: %q, want %d", got.Problems, len(tc.want))
			}
			for i, part := range tc.want {
				if !strings.Contains(got.Problems[i], part) {
					t.Errorf("problem %d is %q, want one about %q", i, got.Problems[i], part)
				}
			}
		})
	}
}
