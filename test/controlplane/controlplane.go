// Package controlplane starts a real Kubernetes control plane (etcd, kube-apiserver and
// kube-controller-manager) for tests: once per test process, on free loopback ports, in a
// temporary directory. Everything it started dies with the test process.
//
// The binaries come from hack/controlplane/assets.sh, which finds or builds them once.
package controlplane

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// startLimit is how long one process may take until it serves; a loaded two-core machine needs patience.
const startLimit = 2 * time.Minute

// Plane is a running control plane.
type Plane struct {
	// Dir is its directory: certificates, data, logs, kubeconfigs.
	Dir string
	// URL is where kube-apiserver serves.
	URL string
	// Kubeconfig is the path of a file with the rights of cluster-admin.
	Kubeconfig string
	// Issuer of its ServiceAccounts' tokens.
	Issuer string
	// Config is the same for Go clients; client-side rate limits are off.
	Config *rest.Config

	assets  string
	ca      *authority
	address string // where nodes and pods reach the API server; empty: there are none
	running map[string]running
}

// homeIssuer is the issuer of the tokens of every cluster but the second one.
const homeIssuer = "https://kubernetes.default.svc.cluster.local"

var shared = sync.OnceValues(func() (*Plane, error) { return start(context.Background(), &Plane{Issuer: homeIssuer}, "") })

// Start returns the control plane of this test process, starting it at the first call.
func Start(tb testing.TB) *Plane {
	tb.Helper()
	p, err := shared()
	if err != nil {
		tb.Fatalf("control plane: %v", err)
	}
	return p
}

// Up is Start for a program that is no test, such as the demo.
func Up() (*Plane, error) { return shared() }

// UpWithNodes starts another control plane, for nodes: its API server serves on address too (an IPv4 address of
// this machine that is not loopback), where kubelets and pods reach it, and it may talk to kubelets.
func UpWithNodes(ctx context.Context, address string) (*Plane, error) {
	return start(ctx, &Plane{Issuer: homeIssuer, address: address}, "")
}

// Root is the root directory of the repository.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(filepath.Dir(file)))
}

// start runs a control plane as p says; name tells its directory from that of another one of this process.
func start(ctx context.Context, p *Plane, name string) (*Plane, error) {
	var err error
	if p.assets, err = Assets(ctx); err != nil {
		return nil, err
	}
	if p.Dir, err = newDir(name); err != nil {
		return nil, err
	}
	p.running = map[string]running{}
	ports, err := FreePorts(4)
	if err != nil {
		return nil, err
	}
	p.URL = fmt.Sprintf("https://127.0.0.1:%d", ports[2])
	if err := p.prepare(); err != nil {
		return nil, fmt.Errorf("prepare %s: %w", p.Dir, err)
	}
	etcd := fmt.Sprintf("http://127.0.0.1:%d", ports[0])
	for _, s := range []Process{
		p.etcd(etcd, fmt.Sprintf("http://127.0.0.1:%d", ports[1])),
		p.apiserver(etcd, ports[2]),
		p.controllers(ports[3]),
	} {
		if err := p.Launch(ctx, s); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// Assets is the directory that holds the programs of a control plane; it builds what is missing.
func Assets(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(Root(), "hack/controlplane/assets.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("hack/controlplane/assets.sh, which finds or builds etcd and kube-apiserver: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// prepare writes certificates and kubeconfigs.
func (p *Plane) prepare() error {
	ca, err := newAuthority(p.file(""), p.address)
	if err != nil {
		return err
	}
	p.ca = ca
	if err := ca.issue("apiserver", subject{name: "kube-apiserver"}); err != nil {
		return err
	}
	if err := ca.serviceAccountKey(); err != nil {
		return err
	}
	if _, err := p.User("system:kube-controller-manager"); err != nil {
		return err
	}
	if _, err := p.User(kubeletClient, "system:masters"); err != nil {
		return err
	}
	p.Kubeconfig, err = p.User("admin", "system:masters")
	if err != nil {
		return err
	}
	p.Config, err = Load(p.Kubeconfig)
	return err
}

// User returns the path of a kubeconfig of a user of that name and groups, who may do what RBAC lets him. Beside
// it lie his certificate and key, of the same name with .crt and .key, which are good for serving too.
func (p *Plane) User(name string, groups ...string) (string, error) {
	base := strings.NewReplacer(":", "-", "/", "-").Replace(name)
	if err := p.ca.issue(base, subject{name: name, groups: groups}); err != nil {
		return "", err
	}
	path := p.file(base + ".kubeconfig")
	return path, os.WriteFile(path, kubeconfig(p.URL, p.file("ca.crt"), p.file(base+".crt"), p.file(base+".key")), 0o600)
}

// Load reads a kubeconfig for Go clients, with client-side rate limits off.
func Load(path string) (*rest.Config, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", path)
	if err != nil {
		return nil, fmt.Errorf("load %s: %w", path, err)
	}
	cfg.QPS = -1
	return cfg, nil
}

func (p *Plane) file(name string) string { return filepath.Join(p.Dir, name) }

// Assets is the directory of the binaries, kubectl among them.
func (p *Plane) Assets() string { return p.assets }

// Kubectl runs kubectl with the rights of cluster-admin and returns what it printed, errors included.
func (p *Plane) Kubectl(ctx context.Context, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, filepath.Join(p.assets, "kubectl"), append([]string{"--kubeconfig", p.Kubeconfig}, args...)...)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return string(out), nil
}
