//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"
)

const (
	// fewChanges is how many changes of a file are measured unless E2E_CHANGES says otherwise.
	fewChanges = 50
	// promise is what the 99th percentile from the write over /v1 to the file in the pod is held to.
	promise = 1500 * time.Millisecond
	// kubeletSync is more than the longest that a kubelet of default settings leaves a changed Secret unseen:
	// syncFrequency, one minute, and half of it more as jitter.
	kubeletSync = 2 * time.Minute
)

// shop applies a team's manifests, writes the secrets only then, and looks at what the pods have.
func (c *cluster) shop() {
	c.apply("shop.yaml")
	c.apply("web.yaml")
	c.put("shop/db", `{"password": "first"}`)
	c.put("shop/mail", `{"password": "of-mail"}`)
	c.put("shop/web/keys", `{"key": "k1", "other": "o1"}`)
	c.put("shop/web/urls", `{"URL": "u1"}`)
	p := c.pod("shop", "reader")
	for path, want := range map[string]string{"/etc/db/password": "first", "/etc/all/db/password": "first", "/etc/all/mail/password": "of-mail"} {
		if got := c.file(p, path); got != want {
			c.Errorf("%s is %q, want %q", path, got, want)
		}
	}
	if got := c.env(p, "PASSWORD"); got != "first" {
		c.Errorf("PASSWORD is %q", got)
	}
	c.kubectl("rollout status --timeout=90s -n shop deployment/web")
	c.kubectl("rollout status --timeout=90s -n shop deployment/files")
}

// filesByKubelet measures one change that nobody tells the kubelet of.
func (c *cluster) filesByKubelet() {
	p := c.pod("shop", "reader")
	seen := c.follow(p, "/etc/db/password")
	took := c.change(seen, kubeletSync)
	c.Logf("write → file by the kubelet's own sync: %s", took.Round(time.Millisecond))
	if got := c.env(p, "PASSWORD"); got != "first" {
		c.Errorf("the environment of a running pod changed to %q", got)
	}
}

// filesAtOnce measures changes of a VaultSecret with refreshPods: Immediate, seen in the volume and in the projected
// volume by turns.
func (c *cluster) filesAtOnce() {
	c.kubectl("patch -n shop vaultsecret/db --type=merge -p", `{"spec": {"refreshPods": "Immediate"}}`)
	p := c.pod("shop", "reader")
	changes := c.changes()
	for _, path := range []string{"/etc/db/password", "/etc/all/db/password"} {
		seen := c.follow(p, path)
		took := make([]time.Duration, changes/2)
		for i := range took {
			took[i] = c.change(seen, soon)
			c.rest()
		}
		slices.Sort(took)
		p50, p99 := took[len(took)/2], took[len(took)*99/100]
		c.Logf("write → %s, %d changes: p50 %s, p99 %s", path, len(took), p50.Round(time.Millisecond), p99.Round(time.Millisecond))
		if p99 > promise {
			c.Errorf("p99 is %s, promised %s: %v", p99, promise, took)
		}
	}
}

// changes is how many changes are measured: `make bench` asks for more.
func (c *cluster) changes() int {
	text := os.Getenv("E2E_CHANGES")
	if text == "" {
		return fewChanges
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 2 {
		c.Fatalf("E2E_CHANGES is %q: give a number from 2", text)
	}
	return n
}

// rest waits a moment, so that changes meet the kubelet at any point of its doings.
func (c *cluster) rest() {
	timer := time.NewTimer(rand.N(500 * time.Millisecond))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-c.Context().Done():
	}
}

// change writes a fresh value and returns how long it took, from the beginning of the write, until the pod saw it.
func (c *cluster) change(seen <-chan sight, limit time.Duration) time.Duration {
	c.Helper()
	value := fmt.Sprintf("v-%016x", rand.Uint64())
	begun := c.put("shop/db", `{"password": "`+value+`"}`)
	timeout := time.After(limit)
	for {
		select {
		case s, ok := <-seen:
			if !ok {
				c.Fatal("the pod stopped telling")
			}
			if s.Content == value {
				return s.At.Sub(begun)
			}
		case <-timeout:
			c.Fatalf("the pod did not see the change within %s", limit)
		}
	}
}

// sight is what the probe says of a file.
type sight struct {
	At      time.Time `json:"at"`
	Content string    `json:"content"`
}

// follow tells what a pod sees of a file, until the step ends.
func (c *cluster) follow(p probe, path string) <-chan sight {
	c.Helper()
	body, err := p.open(context.WithoutCancel(c.Context()), "changes", "path", path)
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = body.Close() })
	seen := make(chan sight, 1000)
	go func() {
		defer close(seen)
		lines := json.NewDecoder(body)
		for {
			var s sight
			if lines.Decode(&s) != nil {
				return
			}
			seen <- s
		}
	}()
	return seen
}
