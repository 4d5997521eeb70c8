package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"sigs.k8s.io/yaml"

	vaultclient "github.com/scailabs/scaivault/pkg/client"
)

const (
	token    = "bench-token"
	operator = "scaivault-operator"
	// ticks is the kernel's USER_HZ, in which /proc counts CPU time.
	ticks = 100
)

// process is a program under measurement; it dies with this one.
type process struct{ cmd *exec.Cmd }

func launch(log, path string, args ...string) (*process, error) {
	out, err := os.Create(log)
	if err != nil {
		return nil, err
	}
	p := &process{cmd: exec.Command(path, args...)}
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the kernel kills the child when the thread that made it ends
		started <- p.cmd.Start()
		_ = p.cmd.Wait()
	}()
	return p, <-started
}

func (p *process) stop() {
	if p != nil {
		_ = p.cmd.Process.Kill()
	}
}

// rss is the resident memory in MiB.
func (p *process) rss() int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, _ := strconv.Atoi(strings.Fields(rest)[0])
			return kib / 1024
		}
	}
	return 0
}

// cpu is the CPU time used so far.
func (p *process) cpu() time.Duration {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticks
}

func binary(name string) string { return filepath.Join(os.Getenv("SCAIVAULT_BIN"), name) }

func (b *bench) startServer(ctx context.Context) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	address := l.Addr().String()
	_ = l.Close()
	b.url = "http://" + address
	b.server, err = launch(filepath.Join(b.dir, "server.log"), binary("scaivault-server"), "--dev", "--dev-token", token,
		"--listen", address, "--data-dir", filepath.Join(b.dir, "data"), "--kubernetes-auth", "--kubeconfig", b.plane.Kubeconfig,
		"--operator-service-account", "scaivault-system/"+operator)
	if err != nil {
		return err
	}
	if b.vault, err = vaultclient.New(vaultclient.Options{BaseURL: b.url, Token: token}); err != nil {
		return err
	}
	for range 400 {
		if r, err := b.vault.System.Ready(ctx); err == nil && r.Status == "ready" {
			return nil
		}
		<-time.After(50 * time.Millisecond)
	}
	return fmt.Errorf("the server is not ready; see %s", b.dir)
}

// startOperator runs the operator with its own ServiceAccount's rights, as in a cluster.
func (b *bench) startOperator() error {
	kubeconfig, err := b.operatorKubeconfig()
	if err != nil {
		return err
	}
	b.operator, err = launch(filepath.Join(b.dir, "operator.log"), binary("scaivault-operator"), "run",
		"--kubeconfig", kubeconfig, "--vault-url", b.url, "--service-account", operator)
	return err
}

func (b *bench) operatorKubeconfig() (string, error) {
	minted, err := b.plane.Kubectl(context.Background(), "--namespace", "scaivault-system", "create", "token", operator, "--duration", "4h")
	if err != nil {
		return "", err
	}
	raw, err := os.ReadFile(b.plane.Kubeconfig)
	if err != nil {
		return "", err
	}
	var config map[string]any
	if err := yaml.Unmarshal(raw, &config); err != nil {
		return "", err
	}
	for _, u := range config["users"].([]any) {
		u.(map[string]any)["user"] = map[string]any{"token": strings.TrimSpace(minted)}
	}
	out, err := yaml.Marshal(config)
	if err != nil {
		return "", err
	}
	path := filepath.Join(b.dir, "operator.kubeconfig")
	return path, os.WriteFile(path, out, 0o600)
}
