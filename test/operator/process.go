package operator

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/scailabs/scaivault/test/controlplane"
)

const (
	// Namespace of the operator's ServiceAccount, as config/rbac makes it.
	Namespace = "scaivault-system"
	// Account is the name of that ServiceAccount.
	Account = "scaivault-operator"

	// startLimit is how long the operator may take until it answers on a loaded two-core machine.
	startLimit = 60 * time.Second
)

// Process is one scaivault-operator process at a time.
type Process struct {
	Log     string // file that all its runs append to
	Metrics string // host:port of its metrics
	// Kubeconfig and VaultURL are what it connects with.
	Kubeconfig, VaultURL string
	// Args are added to the command line.
	Args []string

	tb     testing.TB
	probes string

	mu      sync.Mutex
	command *exec.Cmd
	exited  chan struct{}
}

var binary = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "scaivault-operator-")
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "scaivault-operator")
	cmd := exec.CommandContext(context.Background(), "go", "build", "-o", path, "./cmd/scaivault-operator")
	cmd.Dir = controlplane.Root()
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build scaivault-operator: %w\n%s", err, out)
	}
	return path, nil
})

// Binary is the path of scaivault-operator, built at the first call.
func Binary() (string, error) { return binary() }

// New prepares an operator; Start runs it.
func New(tb testing.TB, kubeconfig, vaultURL string) *Process {
	tb.Helper()
	p := &Process{Log: filepath.Join(tb.TempDir(), "operator.log"), Kubeconfig: kubeconfig, VaultURL: vaultURL, tb: tb}
	p.Metrics, p.probes = freeAddress(tb), freeAddress(tb)
	tb.Cleanup(p.Stop)
	return p
}

func freeAddress(tb testing.TB) string {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// Start runs the operator and waits until it answers; its caches may still be filling.
func (p *Process) Start() {
	p.tb.Helper()
	p.Launch()
	p.mu.Lock()
	exited := p.exited
	p.mu.Unlock()
	if err := p.answers(exited); err != nil {
		p.tb.Fatal(err)
	}
}

// Launch runs the operator and does not wait.
func (p *Process) Launch() {
	p.tb.Helper()
	path, err := binary()
	if err != nil {
		p.tb.Fatal(err)
	}
	log, err := os.OpenFile(p.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		p.tb.Fatal(err)
	}
	line := append([]string{path, "run", "--kubeconfig", p.Kubeconfig, "--vault-url", p.VaultURL, "--namespace", Namespace,
		"--service-account", Account, "--metrics-bind-address", p.Metrics, "--health-probe-bind-address", p.probes,
		"--log-level", "debug"}, p.Args...)
	exited, started := make(chan struct{}), make(chan error, 1)
	go p.run(line, log, exited, started)
	if err := <-started; err != nil {
		p.tb.Fatal(err)
	}
}

// run keeps its thread: the kernel kills the child when the thread that made it ends.
func (p *Process) run(line []string, log *os.File, exited chan struct{}, started chan<- error) {
	runtime.LockOSThread()
	defer close(exited)
	defer func() { _ = log.Close() }()
	cmd := exec.CommandContext(context.Background(), line[0], line[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL, Setpgid: true}
	if err := cmd.Start(); err != nil {
		started <- err
		return
	}
	p.mu.Lock()
	p.command, p.exited = cmd, exited
	p.mu.Unlock()
	started <- nil
	_ = cmd.Wait()
}

func (p *Process) answers(exited <-chan struct{}) error {
	limit := time.NewTimer(startLimit)
	defer limit.Stop()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		resp, err := http.Get("http://" + p.probes + "/readyz")
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-exited:
			return fmt.Errorf("scaivault-operator ended:\n%s", p.tail())
		case <-limit.C:
			return fmt.Errorf("scaivault-operator does not answer after %s:\n%s", startLimit, p.tail())
		case <-tick.C:
		}
	}
}

// Kill ends the operator with SIGKILL, as a lost node does, and waits for the end.
func (p *Process) Kill() { p.signal(syscall.SIGKILL) }

// Stop ends the operator with SIGTERM, as Kubernetes does, and waits for the end.
func (p *Process) Stop() { p.signal(syscall.SIGTERM) }

func (p *Process) signal(sig syscall.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return
	}
	p.send(sig)
	<-p.exited
	p.command = nil
}

// Pause stops the operator where it is, as a node that is out of breath does, until Resume.
func (p *Process) Pause() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(syscall.SIGSTOP)
}

// Resume ends Pause.
func (p *Process) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.send(syscall.SIGCONT)
}

func (p *Process) send(sig syscall.Signal) {
	if err := syscall.Kill(-p.command.Process.Pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
		p.tb.Errorf("signal scaivault-operator: %v", err)
	}
}

// Running tells whether it was started and has neither been ended nor ended by itself.
func (p *Process) Running() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return false
	}
	select {
	case <-p.exited:
		return false
	default:
		return true
	}
}

// Died tells whether it ended without having been told to.
func (p *Process) Died() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.command == nil {
		return false
	}
	select {
	case <-p.exited:
		return true
	default:
		return false
	}
}

// Command runs another command of the program, such as accept-vault, as the owner of a kubeconfig.
func (p *Process) Command(ctx context.Context, kubeconfig string, args ...string) (string, error) {
	path, err := binary()
	if err != nil {
		return "", err
	}
	args = append([]string{args[0], "--kubeconfig", kubeconfig, "--vault-url", p.VaultURL, "--namespace", Namespace}, args[1:]...)
	out, err := exec.CommandContext(ctx, path, args...).CombinedOutput()
	return string(out), err
}

func (p *Process) tail() string {
	b, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	return string(b[max(0, len(b)-4000):])
}
