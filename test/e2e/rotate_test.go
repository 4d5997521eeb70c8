//go:build e2e

package e2e

import (
	"time"

	"github.com/scailabs/scaivault/pkg/client"
)

// rotate has a RotationSchedule make a new password, and sees the old version readable until the Deployment that has
// it in its environment is rolled out on the new one, although its grace is a second.
func (c *cluster) rotate() {
	const path = "shop/web/keys"
	c.apply("rotation.yaml")
	c.kubectl("wait --for=condition=Ready --timeout=90s -n shop rotationschedule/keys")
	before, revision := c.environments("web"), c.revision("web")
	old, err := c.admin.Secrets.Read(c.Context(), path, client.ReadOptions{})
	if err != nil {
		c.Fatal(err)
	}
	begun := time.Now()
	c.kubectl("annotate -n shop rotationschedule/keys scaivault.io/requestedAt=now")
	seen := map[string]bool{}
	c.until("the old version", "over", func() string {
		seen[c.field("get rotationschedule -n shop keys", ".status.rotations[0].phase")] = true
		if _, err := c.admin.Secrets.Read(c.Context(), path, client.ReadOptions{Version: old.Version}); err == nil {
			return "readable"
		}
		return "over"
	})
	c.Logf("rotation asked for → old version over: %s; phases seen on the way: %v", time.Since(begun).Round(time.Millisecond), seen)
	after := c.environments("web")
	if after == before || c.revision("web") == revision {
		c.Errorf("the old version is over, and the pods have %q as before", after)
	}
	pod := c.field("get pods -n shop -l app=files", ".items[0].metadata.name")
	key := c.file(c.pod("shop", pod), "/etc/keys/key")
	if want := key + " u2, " + key + " u2"; after != want || len(key) != 16 {
		c.Errorf("the old version is over: the environment of the pods is %q, the file %q", after, key)
	}
	c.until("the phase", "Retired", func() string { return c.field("get rotationschedule -n shop keys", ".status.rotations[0].phase") })
}
