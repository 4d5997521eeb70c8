package controlplane

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// InstallCRDs applies the resource definitions of config/crd and waits until they are served.
func (p *Plane) InstallCRDs(tb testing.TB) {
	tb.Helper()
	dir := filepath.Join(Root(), "config/crd")
	if _, err := os.Stat(dir); err != nil {
		tb.Fatalf("resource definitions: %v", err)
	}
	ctx := tb.Context()
	for _, args := range [][]string{
		{"apply", "--server-side", "--force-conflicts", "-k", dir},
		{"wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"},
	} {
		if _, err := p.Kubectl(ctx, args...); err != nil {
			tb.Fatal(err)
		}
	}
}

// Namespace makes a namespace of a fresh name. It is left behind, because deleting one takes longer
// than the test; every test uses its own.
func (p *Plane) Namespace(tb testing.TB, prefix string, labels map[string]string) string {
	tb.Helper()
	kube, err := kubernetes.NewForConfig(p.Config)
	if err != nil {
		tb.Fatal(err)
	}
	ns, err := kube.CoreV1().Namespaces().Create(tb.Context(), &corev1.Namespace{
		ObjectMeta: metav1.ObjectMeta{GenerateName: prefix + "-", Labels: labels},
	}, metav1.CreateOptions{})
	if err != nil {
		tb.Fatalf("make a namespace: %v", err)
	}
	return ns.Name
}

// ServiceAccountToken mints a token of a ServiceAccount for an audience.
func (p *Plane) ServiceAccountToken(ctx context.Context, namespace, name, audience string) (string, error) {
	out, err := p.Kubectl(ctx, "--namespace", namespace, "create", "token", name, "--audience", audience)
	if err != nil {
		return "", err
	}
	token := strings.TrimSpace(out) // without a line end when it is no terminal that reads it
	if token == "" {
		return "", errors.New("kubectl printed no token")
	}
	return token, nil
}

const (
	apiServer   = "kube-apiserver"
	controllers = "kube-controller-manager"
)

// Stop ends kube-apiserver and kube-controller-manager as a lost machine does; what was stored stays. It is for
// tests that share the control plane with no other at that moment.
func (p *Plane) Stop(tb testing.TB) {
	tb.Helper()
	p.Kill(tb, controllers)
	p.Kill(tb, apiServer)
}

// Kill ends a process that was launched, by its name, and waits for the end.
func (p *Plane) Kill(tb testing.TB, name string) {
	tb.Helper()
	r := p.running[name]
	if err := syscall.Kill(-r.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
		tb.Fatalf("end %s: %v", name, err)
	}
	tb.Log(name, "was stopped:", <-r.exited)
}

// Restart starts them again at the same addresses and waits until they serve.
func (p *Plane) Restart(tb testing.TB) {
	tb.Helper()
	for _, name := range []string{apiServer, controllers} {
		if err := p.Launch(tb.Context(), p.running[name].Process); err != nil {
			tb.Fatal(err)
		}
	}
}
