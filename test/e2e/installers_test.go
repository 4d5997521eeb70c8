//go:build e2e

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/scailabs/scaivault/test/controlplane"
)

// installer is one of the two ways that the README gives.
type installer interface {
	// up installs; it does not wait for anything to run.
	up(c *cluster)
	// down uninstalls with everything that an uninstall may leave, and returns when that is gone.
	down(c *cluster)
}

// kustomize is kubectl apply -k of config/default, with the image that is there.
type kustomize struct{}

func (k kustomize) up(c *cluster) { c.kubectl("apply -k", k.dir(c, "default", "refresh-pods")) }

// down takes the steps of make undeploy, which knows no image but the published one, and then the namespace.
func (k kustomize) down(c *cluster) {
	c.kubectl("apply -k", k.dir(c, "release"))
	c.kubectl("-n " + system + " wait --for=condition=Complete --timeout=180s job/scaivault-release")
	c.kubectl("delete -n " + system + " job scaivault-release")
	c.kubectl("delete --timeout=180s -k", k.dir(c, "undeploy", "refresh-pods"))
	c.keeps(data)
	c.kubectl("delete --timeout=180s namespace " + system)
}

// dir is a directory with a kustomization of directories of config/.
func (kustomize) dir(c *cluster, name string, components ...string) string {
	dir := filepath.Join(c.node.Dir, "kustomize", name)
	config, err := filepath.Rel(dir, filepath.Join(controlplane.Root(), "config"))
	if err != nil {
		c.Fatal(err)
	}
	text := "images: [{name: ghcr.io/scailabs/scaivault, newTag: e2e}]\nresources: [" + config + "/" + name + "]\ncomponents:\n"
	for _, component := range components {
		text += "- " + config + "/" + component + "\n"
	}
	return filepath.Dir(c.write("kustomize/"+name+"/kustomization.yaml", text))
}

// helm is helm install of the chart, with the image that is there.
type helm struct{}

func (h helm) up(c *cluster) {
	c.kubectl("create namespace " + system)
	c.kubectl("label namespace " + system + " pod-security.kubernetes.io/enforce=restricted")
	h.run(c, "install", "scaivault", filepath.Join(controlplane.Root(), "charts/scaivault"),
		"--set=image.tag=e2e,operator.refreshPods=true,webhook.enabled=true")
}

// down sees first that Helm leaves what docs/ops/install.md says it leaves.
func (h helm) down(c *cluster) {
	h.run(c, "uninstall", "scaivault", "--wait", "--timeout=180s")
	c.keeps(data)
	c.keeps(map[string]string{
		"get vaultsecret db -n shop":  "vaultsecret.scaivault.io/db",
		"get secrets db mail -n shop": "secret/db\nsecret/mail",
	})
	c.kubectl("delete --timeout=180s -k", filepath.Join(controlplane.Root(), "config/crd"))
	c.kubectl("delete --timeout=180s namespace " + system)
}

// data are the answers of a namespace that an uninstall left: nothing runs, and nothing is lost.
var data = map[string]string{
	"get pods -n " + system:                      "",
	"get secret scaivault-root-key -n " + system: "secret/scaivault-root-key",
	"get pvc -n " + system:                       "persistentvolumeclaim/data-scaivault-server-0",
}

// keeps waits until each kubectl command names what it should.
func (c *cluster) keeps(want map[string]string) {
	c.Helper()
	for args, names := range want {
		c.until(args, names, func() string { return c.kubectl(args + " -o name") })
	}
}

func (helm) run(c *cluster, args ...string) {
	c.Helper()
	dir, err := exec.CommandContext(c.Context(), "bash", filepath.Join(controlplane.Root(), helmAssets)).Output()
	if err != nil {
		c.Fatalf("%s: %v", helmAssets, err)
	}
	cmd := exec.CommandContext(c.Context(), filepath.Join(strings.TrimSpace(string(dir)), "helm4"), append(args, "--namespace="+system)...)
	cmd.Env = append(os.Environ(), "KUBECONFIG="+c.node.Kubeconfig, "HOME="+c.node.Dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		c.Fatalf("helm %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}
