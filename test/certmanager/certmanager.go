// Package certmanager runs the real cert-manager on a control plane of tests: its controllers (Certificates,
// CertificateRequests, the stock approver, the SelfSigned and CA issuers) and its admission webhook, each as a process
// of its own with the rights that cert-manager's chart gives its ServiceAccount, so that a missing one fails.
//
// The programs and what the chart installs come from hack/certmanager/assets.sh, which finds or builds them once.
package certmanager

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/test/controlplane"
)

const (
	// Namespace is where cert-manager is installed, and where it reads the Secrets of ClusterIssuers.
	Namespace = "cert-manager"
	// Account is the ServiceAccount of its controllers: who makes CertificateRequests of Certificates and approves them.
	Account = "cert-manager"

	webhookAccount = "cert-manager-webhook"
	webhook        = "cert-manager-webhook"
	controller     = "cert-manager-controller"

	// startLimit is how long admission may take until it decides; a loaded two-core machine needs patience.
	startLimit = 2 * time.Minute
)

// User is the name of Account for the API server.
func User() string { return account(Account) }

func account(name string) string { return "system:serviceaccount:" + Namespace + ":" + name }

// install is cert-manager on its way to running.
type install struct {
	testing.TB
	plane  *controlplane.Plane
	kube   kube.Client // cluster-admin
	assets string
	health []int // ports on which webhook and controller say that they serve
	port   int   // of the webhook
}

// Start installs cert-manager on a control plane and returns when it decides about objects of its kinds. Its processes
// and its registration for admission end with the test, its definitions stay. A control plane holds one at a time.
func Start(tb testing.TB, plane *controlplane.Plane) {
	tb.Helper()
	i := &install{TB: tb, plane: plane}
	i.must(i.prepare())
	definitions, registration := i.manifests()
	i.apply(definitions...)
	_, err := plane.Kubectl(tb.Context(), "wait", "--for=condition=Established", "--timeout=60s", "crd", "--all")
	i.must(err)
	i.launch(webhook, webhookAccount, i.health[0], "/healthz",
		fmt.Sprintf("--secure-port=%d", i.port), fmt.Sprintf("--healthz-port=%d", i.health[0]))
	i.launch(controller, Account, i.health[1], "/readyz",
		fmt.Sprintf("--health-address=127.0.0.1:%d", i.health[1]), "--cluster-resource-namespace="+Namespace)
	i.register(registration)
	i.decides()
}

func (i *install) must(err error) {
	i.Helper()
	if err != nil {
		i.Fatalf("cert-manager: %v", err)
	}
}

func (i *install) prepare() (err error) {
	if i.assets, err = assets(i.Context()); err != nil {
		return err
	}
	if i.kube, err = kube.New(i.plane.Config, kube.Options{}); err != nil {
		return err
	}
	ports, err := controlplane.FreePorts(3)
	if err != nil {
		return err
	}
	i.health, i.port = ports[:2], ports[2]
	return nil
}

func assets(ctx context.Context) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", filepath.Join(controlplane.Root(), "hack/certmanager/assets.sh"))
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("hack/certmanager/assets.sh, which builds it: %w", err)
	}
	return strings.TrimSpace(string(out)), nil
}

// launch runs one of the two programs with the rights of its ServiceAccount until the test ends.
func (i *install) launch(name, serviceAccount string, port int, path string, args ...string) {
	i.Helper()
	kubeconfig, err := i.plane.User(account(serviceAccount), "system:serviceaccounts", "system:serviceaccounts:"+Namespace)
	i.must(err)
	args = append(args, "--kubeconfig="+kubeconfig)
	if name == webhook {
		pair := strings.TrimSuffix(kubeconfig, ".kubeconfig")
		args = append(args, "--tls-cert-file="+pair+".crt", "--tls-private-key-file="+pair+".key")
	}
	i.must(i.plane.Launch(i.Context(), controlplane.Process{
		Name: name, Dir: i.assets, Args: args, Health: fmt.Sprintf("http://127.0.0.1:%d%s", port, path),
	}))
	i.Cleanup(func() { i.plane.Kill(i, name) })
}

// decides waits until every request passes both halves of admission: a CertificateRequest that none may make is refused
// for what it asks alone, because the one half has written down who asks before the other looked.
func (i *install) decides() {
	i.Helper()
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := i.kube.Create(i.Context(), nonsense(), kube.DryRunAll)
		if err != nil && strings.Contains(err.Error(), "spec.request") && !strings.Contains(err.Error(), "spec.username") {
			return
		}
		select {
		case <-limit.C:
			i.Fatalf("cert-manager: admission of a CertificateRequest without one still says after %s: %v", startLimit, err)
		case <-tick.C:
		}
	}
}

func nonsense() *unstructured.Unstructured {
	return &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "cert-manager.io/v1", "kind": "CertificateRequest",
		"metadata": map[string]any{"namespace": Namespace, "name": "nonsense"},
		"spec":     map[string]any{"request": "bm9uc2Vuc2U=", "issuerRef": map[string]any{"name": "nobody"}},
	}}
}

// deregister lets objects pass without the webhook, which is about to end.
func (i *install) deregister(registration []*unstructured.Unstructured) {
	for _, o := range registration {
		if err := i.kube.Delete(context.WithoutCancel(i.Context()), o); err != nil && !apierrors.IsNotFound(err) {
			i.Errorf("cert-manager: take back %s: %v", o.GetKind(), err)
		}
	}
}
