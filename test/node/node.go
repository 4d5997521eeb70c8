package node

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"

	"github.com/scailabs/scaivault/test/controlplane"
)

// Name is the name of the node.
const Name = "node1"

// Node is a control plane with one node that runs pods.
type Node struct {
	*controlplane.Plane
	// Dir is the directory of the run; pods may mount volumes from below it.
	Dir string

	assets string
	cgroup string
}

var shared = sync.OnceValues(func() (*Node, error) { return start(context.Background()) })

// Start returns the node of this test process, starting it at the first call. Images of hack/node/images.sh are there.
func Start(tb testing.TB) *Node {
	tb.Helper()
	n, err := shared()
	if err != nil {
		tb.Fatalf("node: %v", err)
	}
	return n
}

func start(ctx context.Context) (*Node, error) {
	if os.Getenv(stageVar) != stageTest {
		return nil, fmt.Errorf("this package's TestMain has to call node.Main")
	}
	plane, err := controlplane.UpWithNodes(ctx, Address)
	if err != nil {
		return nil, err
	}
	n := &Node{Plane: plane, Dir: os.Getenv(dirVar), assets: os.Getenv(assetsVar), cgroup: os.Getenv(cgroupVar)}
	for _, step := range []func(context.Context) error{n.configure, n.run, n.images, n.ready} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	return n, nil
}

// images gives the images that were built outside to containerd.
func (n *Node) images(ctx context.Context) error {
	files, err := filepath.Glob(n.file("*.tar"))
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := n.Ctr(ctx, "images", "import", f); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) ready(ctx context.Context) error {
	for _, args := range [][]string{
		{"wait", "--for=create", "node/" + Name, "--timeout=60s"},
		{"wait", "--for=condition=Ready", "node/" + Name, "--timeout=60s"},
	} {
		if out, err := n.Kubectl(ctx, args...); err != nil {
			return fmt.Errorf("%w: %s", err, out)
		}
	}
	return nil
}

// Ctr runs containerd's own client in the namespace of Kubernetes' containers and returns what it printed.
func (n *Node) Ctr(ctx context.Context, args ...string) (string, error) {
	args = append([]string{"--address", n.file("containerd.sock"), "--namespace", "k8s.io"}, args...)
	out, err := exec.CommandContext(ctx, filepath.Join(n.assets, "ctr"), args...).CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("ctr %v: %w: %s", args, err, out)
	}
	return string(out), nil
}

func (n *Node) file(name string) string { return filepath.Join(n.Dir, name) }
