package node

import (
	"context"
	"os"
	"strings"
	"text/template"

	_ "embed"

	"github.com/scailabs/scaivault/test/controlplane"
)

//go:embed files/containerd.toml
var containerdConfig string

//go:embed files/network.conflist
var networkConfig string

//go:embed files/kubelet.yaml
var kubeletConfig string

//go:embed files/Corefile
var dnsConfig string

// users are the node's programs towards the API server, by the file that the configurations name.
var users = map[string][]string{
	"system:kube-scheduler": nil, "system:kube-proxy": nil, "system:kube-dns": {"system:masters"},
	"system:node:" + Name: {"system:nodes"},
}

// configure writes the configuration files, each of which names files of the run's directory, and the users' kubeconfigs.
func (n *Node) configure(context.Context) error {
	for name, groups := range users {
		if _, err := n.User(name, groups...); err != nil {
			return err
		}
	}
	for _, dir := range []string{"cni", "plugins"} {
		if err := os.MkdirAll(n.file(dir), 0o755); err != nil {
			return err
		}
	}
	for path, text := range map[string]string{
		"containerd.toml": containerdConfig, "cni/10-node.conflist": networkConfig,
		"kubelet.yaml": kubeletConfig, "Corefile": dnsConfig,
	} {
		if err := n.write(path, text); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) write(path, text string) error {
	t, err := template.New(path).Parse(text)
	if err != nil {
		return err
	}
	var out strings.Builder
	values := map[string]string{
		"Dir": n.Dir, "Plane": n.Plane.Dir, "Assets": n.assets, "Cgroup": n.cgroup, "Address": Address, "Name": Name,
	}
	if err := t.Execute(&out, values); err != nil {
		return err
	}
	return os.WriteFile(n.file(path), []byte(out.String()), 0o600)
}

// run starts the node's programs, each when the one before serves.
func (n *Node) run(ctx context.Context) error {
	scheduler, proxy, kubelet := n.kubeconfig("system-kube-scheduler"), n.kubeconfig("system-kube-proxy"), n.kubeconfig("system-node-"+Name)
	for _, p := range []controlplane.Process{
		{Name: "kube-scheduler", Health: "https://127.0.0.1:10259/healthz", Args: []string{
			"--kubeconfig=" + scheduler, "--authentication-kubeconfig=" + scheduler, "--authorization-kubeconfig=" + scheduler,
			"--leader-elect=false", "--bind-address=127.0.0.1",
		}},
		{Name: "containerd", Health: "http://127.0.0.1:10300/v1/metrics", Args: []string{"--config=" + n.file("containerd.toml")}},
		{Name: "coredns", Health: "http://127.0.0.1:8181/ready", Args: []string{"-conf=" + n.file("Corefile")}},
		{Name: "kubelet", Health: "http://127.0.0.1:10248/healthz", Args: []string{
			"--config=" + n.file("kubelet.yaml"), "--kubeconfig=" + kubelet, "--hostname-override=" + Name, "--node-ip=" + Address,
			"--root-dir=" + n.file("kubelet"), "--cert-dir=" + n.file("kubelet-pki"),
		}},
		{Name: "kube-proxy", Health: "http://127.0.0.1:10256/healthz", Args: []string{
			"--kubeconfig=" + proxy, "--hostname-override=" + Name, "--proxy-mode=iptables", "--cluster-cidr=10.244.0.0/16",
			"--bind-address=" + Address, "--healthz-bind-address=127.0.0.1",
			"--conntrack-max-per-core=0", // the limit is the machine's
		}},
	} {
		p.Dir = n.assets
		if err := n.Launch(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

func (n *Node) kubeconfig(user string) string { return n.Plane.Dir + "/" + user + ".kubeconfig" }
