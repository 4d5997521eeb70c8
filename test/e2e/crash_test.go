//go:build e2e

package e2e

import (
	"strconv"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
)

// operatorKilled ends the operator without a word and changes a secret while it is away.
func (c *cluster) operatorKilled() {
	seen := c.follow(c.pod("shop", "reader"), "/etc/db/password")
	c.kill("-l app.kubernetes.io/component=operator")
	took := c.change(seen, soon)
	c.Logf("write while the operator is killed → file: %s", took.Round(time.Millisecond))
	c.kubectl("rollout status --timeout=90s -n " + system + " deployment/scaivault-operator")
}

// serverKilled ends the server without a word: what was answered is still there, and changes go on.
func (c *cluster) serverKilled() {
	c.put("shop/kept", `{"n": 12345678901234567890}`)
	begun := time.Now()
	c.kill("scaivault-server-0")
	c.until("what was written before", `{"n":12345678901234567890}`, func() string {
		s, err := c.admin.Secrets.Read(c.Context(), "shop/kept", client.ReadOptions{})
		if err != nil {
			return err.Error()
		}
		return string(s.Data.Reveal())
	})
	c.Logf("server killed → answers again: %s", time.Since(begun).Round(time.Millisecond))
	seen := c.follow(c.pod("shop", "reader"), "/etc/db/password")
	c.Logf("then write → file: %s", c.change(seen, soon).Round(time.Millisecond))
}

// kill sends SIGKILL to the container of a pod of the install and waits until kubelet has started another.
func (c *cluster) kill(pod string) {
	c.Helper()
	get := "get pods -n " + system + " " + pod
	item := ""
	if pod[0] == '-' {
		item = ".items[0]"
	}
	restarts := func() string { return c.field(get, item+".status.containerStatuses[0].restartCount") }
	before, err := strconv.Atoi(restarts())
	if err != nil {
		c.Fatalf("restarts of %s: %v", pod, err)
	}
	id := c.field(get, item+".status.containerStatuses[0].containerID")
	const runtime = "containerd://"
	if _, err := c.node.Ctr(c.Context(), "task", "kill", "--signal", "SIGKILL", id[len(runtime):]); err != nil {
		c.Fatal(err)
	}
	c.until("restarts of "+pod, strconv.Itoa(before+1), restarts)
}
