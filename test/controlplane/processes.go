package controlplane

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Process is a program that runs until the test process ends, or Kill ends it.
type Process struct {
	// Name is its file's name; its output goes to Name.log in the plane's directory.
	Name string
	// Dir is where the file lies; empty: with the programs of the control plane.
	Dir  string
	Args []string
	// Health is the URL that answers 200 once the program serves.
	Health string
	cert   string // client certificate for the health check; empty: none
}

// kubeletClient is who the API server is towards kubelets.
const kubeletClient = "kube-apiserver-kubelet-client"

// running is a process that was launched.
type running struct {
	Process
	pid    int
	exited <-chan error
}

func (p *Plane) etcd(client, peer string) Process {
	return Process{Name: "etcd", Health: client + "/health", Args: []string{
		"--data-dir=" + p.file("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls=" + client, "--advertise-client-urls=" + client,
		"--listen-peer-urls=" + peer, "--initial-advertise-peer-urls=" + peer, "--initial-cluster=default=" + peer,
	}}
}

func (p *Plane) apiserver(etcd string, port int) Process {
	return Process{Name: apiServer, Health: p.URL + "/readyz", cert: "admin", Args: append(p.reach(),
		"--etcd-servers="+etcd, "--secure-port="+strconv.Itoa(port), "--service-cluster-ip-range=10.96.0.0/16",
		"--tls-cert-file="+p.file("apiserver.crt"), "--tls-private-key-file="+p.file("apiserver.key"),
		"--client-ca-file="+p.file("ca.crt"), "--authorization-mode=Node,RBAC", "--allow-privileged=true",
		"--service-account-issuer="+p.Issuer,
		"--service-account-key-file="+p.file("sa.pub"), "--service-account-signing-key-file="+p.file("sa.key"),
	)}
}

// reach is where the API server listens, and how it reaches kubelets.
func (p *Plane) reach() []string {
	if p.address == "" {
		// kubernetes.default needs an address that is not loopback; nobody uses it here.
		return []string{"--bind-address=127.0.0.1", "--advertise-address=127.0.0.1", "--endpoint-reconciler-type=none"}
	}
	return []string{
		"--bind-address=0.0.0.0", "--advertise-address=" + p.address, "--enable-admission-plugins=NodeRestriction",
		"--kubelet-client-certificate=" + p.file(kubeletClient+".crt"), "--kubelet-client-key=" + p.file(kubeletClient+".key"),
		"--kubelet-certificate-authority=" + p.file("ca.crt"), "--kubelet-preferred-address-types=InternalIP",
	}
}

func (p *Plane) controllers(port int) Process {
	kc := p.file("system-kube-controller-manager.kubeconfig")
	return Process{Name: controllers, Health: fmt.Sprintf("https://127.0.0.1:%d/healthz", port), Args: []string{
		"--kubeconfig=" + kc, "--authentication-kubeconfig=" + kc, "--authorization-kubeconfig=" + kc,
		"--bind-address=127.0.0.1", "--secure-port=" + strconv.Itoa(port), "--cert-dir=" + p.file("kcm"),
		"--service-account-private-key-file=" + p.file("sa.key"), "--root-ca-file=" + p.file("ca.crt"),
		"--use-service-account-credentials=true", "--leader-elect=false",
	}}
}

// Launch starts a process and waits until it serves.
func (p *Plane) Launch(ctx context.Context, s Process) error {
	logPath := p.file(s.Name + ".log")
	pid, exited := make(chan int, 1), make(chan error, 1)
	go run(filepath.Join(cmp.Or(s.Dir, p.assets), s.Name), s.Args, logPath, pid, exited)
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	client, err := p.healthClient(s.cert)
	if err != nil {
		return err
	}
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case err := <-exited:
			return fmt.Errorf("%s ended: %w\n%s", s.Name, err, tail(logPath))
		case <-ctx.Done():
			return fmt.Errorf("%s does not serve after %s\n%s", s.Name, startLimit, tail(logPath))
		case <-tick.C:
			if healthy(ctx, client, s.Health) {
				p.running[s.Name] = running{Process: s, pid: <-pid, exited: exited}
				return nil
			}
		}
	}
}

// run keeps its thread, because the kernel kills the child when the thread that made it ends; so the
// child outlives no test process, however that one ends.
func run(path string, args []string, logPath string, pid chan<- int, exited chan<- error) {
	runtime.LockOSThread()
	log, err := os.Create(logPath)
	if err != nil {
		exited <- err
		return
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(path, args...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		exited <- err
		return
	}
	pid <- cmd.Process.Pid
	exited <- errors.Join(cmd.Wait(), errors.New("it should have gone on"))
}

func (p *Plane) healthClient(cert string) (*http.Client, error) {
	cfg := &tls.Config{InsecureSkipVerify: true} // a health check of our own process on loopback
	if cert != "" {
		pair, err := tls.LoadX509KeyPair(p.file(cert+".crt"), p.file(cert+".key"))
		if err != nil {
			return nil, fmt.Errorf("health check certificate: %w", err)
		}
		cfg.Certificates = []tls.Certificate{pair}
	}
	return &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: cfg, DisableKeepAlives: true}}, nil
}

func healthy(ctx context.Context, c *http.Client, url string) bool {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return false
	}
	resp, err := c.Do(req)
	if err != nil {
		return false
	}
	_ = resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

func tail(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-2000):])
}

// FreePorts returns ports of loopback nobody listened on a moment ago, all different.
func FreePorts(n int) ([]int, error) {
	ports := make([]int, 0, n)
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer func() { _ = l.Close() }()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}

const dirPrefix = "scaivault-controlplane-"

// newDir makes this process's directory and removes those of processes that are gone.
func newDir(name string) (string, error) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), dirPrefix+"*"))
	if err != nil {
		return "", err
	}
	for _, d := range old {
		owner, _, _ := strings.Cut(strings.TrimPrefix(filepath.Base(d), dirPrefix), "-")
		pid, err := strconv.Atoi(owner)
		if err == nil && syscall.Kill(pid, 0) != nil {
			_ = os.RemoveAll(d)
		}
	}
	dir := filepath.Join(os.TempDir(), dirPrefix+strconv.Itoa(os.Getpid())+name)
	if err := os.RemoveAll(dir); err != nil {
		return "", err
	}
	return dir, os.MkdirAll(dir, 0o700)
}
