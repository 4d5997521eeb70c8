//go:build e2e

package e2e

import (
	"testing"

	"github.com/scailabs/scaivault/test/node"
)

func TestMain(m *testing.M) { node.Main(m) }

// An install from its first to its last day. Each step builds on those before.
func TestKustomize(t *testing.T) { life(t, kustomize{}) }

func life(t *testing.T, how installer) {
	c := &cluster{T: t, node: node.Start(t)}
	c.step("install", func(c *cluster) { c.install(how) })
	c.step("samples", (*cluster).samples)
	c.step("a team applies everything at once", (*cluster).shop)
	c.step("a file changes by kubelet alone", (*cluster).filesByKubelet)
	c.step("a file changes at once", (*cluster).filesAtOnce)
	c.step("a Deployment rolls by itself", (*cluster).roll)
	c.step("the operator is killed", (*cluster).operatorKilled)
	c.step("the server is killed", (*cluster).serverKilled)
	c.step("uninstall", func(c *cluster) { c.uninstall(how) })
}
