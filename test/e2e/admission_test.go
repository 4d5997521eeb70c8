//go:build e2e

package e2e

import "strings"

// admission sees the API server ask the operator's webhook, through the Service, before it takes an object that its
// schema cannot judge: nobody else knows the functions. Until it is reached it refuses nothing.
func (c *cluster) admission() {
	bad := c.write("bad.yaml", `
apiVersion: scaivault.io/v1alpha1
kind: VaultSecret
metadata: {name: bad, namespace: default}
spec:
  sources: [{name: db, path: shop/db}]
  data: [{key: all, template: "{{ .db.password | nosuchfunction }}"}]
`)
	c.until("a template with an unknown function", "refused", func() string {
		out, err := c.node.Kubectl(c.Context(), "apply", "--dry-run=server", "-f", bad)
		if err != nil && strings.Contains(out, `function "nosuchfunction" not defined`) {
			return "refused"
		}
		return out
	})
}
