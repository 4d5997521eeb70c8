//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
	"github.com/scailabs/scaivault/test/node"
)

// soon is how long anything may take that is not measured, on a loaded machine of two cores.
const soon = 90 * time.Second

// system is the namespace of the install.
const system = "scaivault-system"

// cluster is what a step works on: a node with ScaiVault, and the administrator's client.
type cluster struct {
	*testing.T
	node  *node.Node
	admin *client.Client
}

// step runs a step; the first that fails is the last.
func (c *cluster) step(s step) {
	c.Helper()
	ok := c.Run(s.name, func(t *testing.T) {
		inner := &cluster{T: t, node: c.node, admin: c.admin}
		t.Cleanup(inner.explain)
		s.do(inner)
		c.admin = inner.admin
	})
	if !ok {
		c.FailNow()
	}
}

// explain shows, after a failure, what a person would look at.
func (c *cluster) explain() {
	if !c.Failed() {
		return
	}
	for _, args := range []string{
		"get pods -A -o wide", "get events -A --sort-by=.lastTimestamp", "get vaultsecrets,vaultpolicies,secrets -A",
		"-n scaivault-system logs deployment/scaivault-operator --tail=40", "-n scaivault-system logs scaivault-server-0 --tail=40",
	} {
		out, err := c.node.Kubectl(context.WithoutCancel(c.Context()), strings.Fields(args)...)
		c.Logf("kubectl %s: %v\n%s", args, err, out)
	}
}

// kubectl runs a command line, which must succeed, and returns what it printed.
func (c *cluster) kubectl(line string, more ...string) string {
	c.Helper()
	out, err := c.node.Kubectl(c.Context(), append(strings.Fields(line), more...)...)
	if err != nil {
		c.Fatal(err)
	}
	return strings.TrimSpace(out)
}

// apply applies a file of testdata.
func (c *cluster) apply(file string) { c.Helper(); c.kubectl("apply -f", testdata(file)) }

func testdata(file string) string {
	return filepath.Join(controlplane.Root(), "test/e2e/testdata", file)
}

// field reads one field of an object; empty if there is no such object or field.
func (c *cluster) field(object, path string) string {
	out, err := c.node.Kubectl(c.Context(), append(strings.Fields(object), "--ignore-not-found", "-o", "jsonpath={"+path+"}")...)
	if err != nil {
		return ""
	}
	return out
}

// until waits until got is want.
func (c *cluster) until(what, want string, got func() string) {
	c.Helper()
	ctx, cancel := context.WithTimeout(c.Context(), soon)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		last := got()
		if last == want {
			return
		}
		select {
		case <-ctx.Done():
			c.Fatalf("%s: %q after %s, want %q", what, last, soon, want)
		case <-tick.C:
		}
	}
}

// put writes a secret over /v1 and returns when the call was begun.
func (c *cluster) put(path, data string) time.Time {
	c.Helper()
	begun := time.Now()
	if _, err := c.admin.Secrets.Write(c.Context(), path, vaultapi.WriteRequest{Data: json.RawMessage(data)}); err != nil {
		c.Fatal(err)
	}
	return begun
}

// pod is the address of a ready pod's probe.
func (c *cluster) pod(namespace, name string) probe {
	c.Helper()
	c.kubectl("wait --for=condition=Ready --timeout=90s -n "+namespace, "pod/"+name)
	return probe("http://" + c.field("get pod -n "+namespace+" "+name, ".status.podIP") + ":8080")
}

// probe is where a pod of test/e2e/probe answers.
type probe string

func (p probe) open(ctx context.Context, call, key, value string) (io.ReadCloser, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, string(p)+"/"+call+"?"+url.Values{key: {value}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s of %s: %s", call, value, resp.Status)
	}
	return resp.Body, nil
}

// says is what the pod answers, or why it does not.
func (p probe) says(ctx context.Context, call, key, value string) string {
	body, err := p.open(ctx, call, key, value)
	if err != nil {
		return err.Error()
	}
	defer func() { _ = body.Close() }()
	text, err := io.ReadAll(body)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

// file is a file as the pod sees it.
func (c *cluster) file(p probe, path string) string { return p.says(c.Context(), "file", "path", path) }

// env is a variable of the pod's environment.
func (c *cluster) env(p probe, name string) string { return p.says(c.Context(), "env", "name", name) }
