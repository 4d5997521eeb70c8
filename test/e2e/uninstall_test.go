//go:build e2e

package e2e

import (
	"strings"
	"time"
)

// uninstall sees the install go, to the last pod, and what is to stay stay.
func (c *cluster) uninstall(how installer) {
	p := c.pod("shop", "reader")
	begun := time.Now()
	how.down(c)
	c.until("the install's namespace", "", func() string { return c.field("get namespace "+system, ".metadata.name") })
	c.Logf("uninstalled in %s", time.Since(begun).Round(time.Millisecond))
	for what, left := range map[string]string{
		"cluster-wide objects": "get clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,crds -o name",
		"containers":           "get pods -A -l app.kubernetes.io/name=scaivault -o name",
	} {
		if out := c.kubectl(left); strings.Contains(out, "scaivault") {
			c.Errorf("%s are left:\n%s", what, out)
		}
	}

	// The applications go on with what they had: the Secret of whenDeleted: Retain stays, the other one is collected.
	c.until("Secrets in namespace shop", "secret/mail", func() string { return c.kubectl("get secrets -n shop -o name") })
	if got := c.file(p, "/etc/all/mail/password"); got != "of-mail" {
		c.Errorf("a running pod lost its file: %s", got)
	}
	c.kubectl("delete --timeout=180s namespace shop billing")
	c.kubectl("delete --timeout=180s persistentvolume scaivault")
}
