//go:build e2e

package e2e

import (
	"testing"

	"github.com/scailabs/scaivault/test/node"
)

// helmAssets finds or builds Helm.
const helmAssets = "hack/helm/assets.sh"

func TestMain(m *testing.M) { node.Main(m, helmAssets) }

// step is a part of an install's life.
type step struct {
	name string
	do   func(*cluster)
}

func TestKustomize(t *testing.T) {
	life(t, kustomize{},
		step{"a file changes by kubelet alone", (*cluster).filesByKubelet},
		step{"a file changes at once", (*cluster).filesAtOnce},
		step{"a Deployment rolls by itself", (*cluster).roll},
		step{"a password is rotated", (*cluster).rotate},
		step{"the operator is killed", (*cluster).operatorKilled},
		step{"the server is killed", (*cluster).serverKilled},
	)
}

func TestHelm(t *testing.T) {
	life(t, helm{},
		step{"admission is asked", (*cluster).admission},
		step{"a file changes at once", (*cluster).filesAtOnce},
		step{"a Deployment rolls by itself", (*cluster).roll},
	)
}

// life is an install from its first to its last day. Each step builds on those before.
func life(t *testing.T, how installer, days ...step) {
	c := &cluster{T: t, node: node.Start(t)}
	c.step(step{"install", func(c *cluster) { c.install(how) }})
	c.step(step{"samples", (*cluster).samples})
	c.step(step{"a team applies everything at once", (*cluster).shop})
	for _, s := range days {
		c.step(s)
	}
	c.step(step{"uninstall", func(c *cluster) { c.uninstall(how) }})
}
