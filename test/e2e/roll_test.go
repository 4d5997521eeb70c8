//go:build e2e

package e2e

import (
	"context"
	"strings"
	"time"
)

// roll changes three keys of two Secrets one after the other and sees one roll of the Deployment that has them in its
// environment, to completion, and none of the one that reads files.
func (c *cluster) roll() {
	web, files := c.revision("web"), c.revision("files")
	if web != "1" || files != "1" {
		c.Fatalf("revisions before any change: web %s, files %s", web, files)
	}
	begun := c.put("shop/web/keys", `{"key": "k2", "other": "o1"}`)
	c.put("shop/web/urls", `{"URL": "u2"}`)
	c.put("shop/web/keys", `{"key": "k2", "other": "o2"}`)
	c.until("the Deployment's revision", "2", func() string { return c.revision("web") })
	c.kubectl("rollout status --timeout=90s -n shop deployment/web")
	c.Logf("write → roll complete, debounce 3s: %s", time.Since(begun).Round(time.Millisecond))
	c.until("the environment of all pods", "k2 u2, k2 u2", func() string { return c.environments("web") })

	// Whatever would roll it again would have begun after another debounce.
	c.quiet(8 * time.Second)
	if web, files := c.revision("web"), c.revision("files"); web != "2" || files != "1" {
		c.Errorf("revisions: web %s, want 2; files %s, want 1", web, files)
	}
	pod := c.field("get pods -n shop -l app=files", ".items[0].metadata.name")
	if got := c.file(c.pod("shop", pod), "/etc/keys/other"); got != "o2" {
		c.Errorf("the file is %q, want o2", got)
	}
}

// revision counts the templates that a Deployment had.
func (c *cluster) revision(name string) string {
	return c.field("get deployment -n shop "+name, `.metadata.annotations.deployment\.kubernetes\.io/revision`)
}

// staying prints the addresses of pods that are not on their way out.
const staying = "{{range .items}}{{if not .metadata.deletionTimestamp}}{{.status.podIP}} {{end}}{{end}}"

// environments is what the pods of a Deployment have in their environment.
func (c *cluster) environments(app string) string {
	var all []string
	for _, ip := range strings.Fields(c.kubectl("get pods -n shop -l app="+app+" -o", "go-template="+staying)) {
		p := probe("http://" + ip + ":8080")
		all = append(all, c.env(p, "KEY")+" "+c.env(p, "URL"))
	}
	return strings.Join(all, ", ")
}

// quiet lets time pass in which nothing should happen.
func (c *cluster) quiet(d time.Duration) {
	ctx, cancel := context.WithTimeout(c.Context(), d)
	defer cancel()
	<-ctx.Done()
}
