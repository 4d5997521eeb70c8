//go:build e2e

package e2e

import (
	"crypto/x509"
	"encoding/base64"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"text/template"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/node"
)

// install gives the cluster a volume, installs, and takes the first administrator's token from the server's pod.
func (c *cluster) install(how installer) {
	c.volume()
	begun := time.Now()
	how.up(c)
	c.until("jobs that are complete", "True", func() string {
		return c.field("get jobs -n "+system, `.items[*].status.conditions[?(@.type=="Complete")].status`)
	})
	c.kubectl("rollout status --timeout=90s -n " + system + " statefulset/scaivault-server")
	c.kubectl("rollout status --timeout=90s -n " + system + " deployment/scaivault-operator")
	c.Logf("installed and ready in %s", time.Since(begun).Round(time.Millisecond))

	out := c.kubectl("-n " + system + " exec scaivault-server-0 -- scaivault-server token create --admin --data-dir /var/lib/scaivault")
	token := regexp.MustCompile(`(?m)^skt_\S+$`).FindString(out)
	ca, err := base64.StdEncoding.DecodeString(c.field("get secret -n "+system+" scaivault-server-tls", `.data.ca\.crt`))
	roots := x509.NewCertPool()
	if token == "" || err != nil || !roots.AppendCertsFromPEM(ca) {
		c.Fatalf("no token in %d bytes, or no authority: %v", len(out), err)
	}
	c.admin, err = client.New(client.Options{BaseURL: "https://scaivault-server." + system + ".svc:8443", Token: token, RootCAs: roots})
	if err != nil {
		c.Fatal(err)
	}
	if _, err := c.admin.Auth.Whoami(c.Context()); err != nil {
		c.Fatal(err)
	}
}

// volume makes an empty volume, which the server's claim binds.
func (c *cluster) volume() {
	dir, err := os.MkdirTemp(c.node.Dir, "volume-")
	if err != nil {
		c.Fatal(err)
	}
	var manifest strings.Builder
	values := map[string]string{"Dir": dir, "Node": node.Name}
	if err := template.Must(template.ParseFiles(testdata("volume.yaml"))).Execute(&manifest, values); err != nil {
		c.Fatal(err)
	}
	c.kubectl("apply -f", c.write("volume.yaml", manifest.String()))
	// A claim that finds no volume is looked at again only after a quarter of a minute.
	c.kubectl("wait --for=jsonpath={.status.phase}=Available --timeout=90s persistentvolume/scaivault")
}

// write writes a file of the run and returns its path.
func (c *cluster) write(name, text string) string {
	path := filepath.Join(c.node.Dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		c.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		c.Fatal(err)
	}
	return path
}

// samples applies config/samples as the README does.
func (c *cluster) samples() {
	c.kubectl("apply -k", filepath.Join(controlplane.Root(), "config/samples"))
	c.put("environments/production/billing/database", `{"url": "postgres://billing@db/billing"}`)
	c.kubectl("wait --for=condition=Ready --timeout=90s -n billing vaultsecret/billing")
	got, err := base64.StdEncoding.DecodeString(c.field("get secret -n billing billing", ".data.DB_URL"))
	if err != nil || string(got) != "postgres://billing@db/billing" {
		c.Fatalf("DB_URL is %q: %v", got, err)
	}
}
