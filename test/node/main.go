package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"

	"github.com/scailabs/scaivault/test/controlplane"
)

// The test binary runs four times. These variables tell the processes apart and carry what the first found and made.
const (
	stageVar  = "SCAIVAULT_NODE_STAGE" // empty in the first
	dirVar    = "SCAIVAULT_NODE_DIR"
	assetsVar = "SCAIVAULT_NODE_ASSETS"
	cgroupVar = "SCAIVAULT_NODE_CGROUP"

	stageJanitor = "janitor"
	stageInit    = "init"
	stageTest    = "test"
)

// Main runs m inside namespaces of their own and ends the process with its exit code. It is all that a TestMain calls.
// Scripts are of the repository, to be run before, where there is a network: they build what the tests will look for.
//
//   - The first process builds or finds binaries and images, makes a directory and cgroups, and starts two of itself:
//   - a janitor, which removes directory and cgroups when the first process is gone, however it ended;
//   - process 1 of the namespaces, which sets up mounts and network, buries the dead, and starts as its child
//   - the process that runs the tests, which call Start.
func Main(m *testing.M, scripts ...string) {
	var code int
	var err error
	switch os.Getenv(stageVar) {
	case "":
		code, err = outside(scripts)
	case stageJanitor:
		err = janitor()
	case stageInit:
		code, err = inside()
	default:
		code = m.Run()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "node:", err)
		code = max(code, 1)
	}
	os.Exit(code)
}

func outside(scripts []string) (code int, err error) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGQUIT)
	defer stop()
	assets, err := script(ctx, "hack/node/assets.sh")
	if err != nil {
		return 1, err
	}
	for _, s := range scripts {
		if _, err := script(ctx, s); err != nil {
			return 1, err
		}
	}
	plane, err := controlplane.Assets(ctx)
	if err != nil {
		return 1, err
	}
	sweep()
	own := ours(os.Getpid())
	undo, err := own.make()
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, undo()) }()
	if _, err := script(ctx, "hack/node/images.sh", own.dir); err != nil {
		return 1, err
	}
	return again(ctx, syscall.CLONE_NEWNS|syscall.CLONE_NEWNET|syscall.CLONE_NEWPID,
		stageVar+"="+stageInit, assetsVar+"="+assets, dirVar+"="+own.dir, cgroupVar+"="+own.cgroup,
		// Inside, process ids mean other processes: what is swept by process id must not be searched for in /tmp.
		"TMPDIR="+own.dir, "KUBEBUILDER_ASSETS="+plane)
}

// script runs a script of the repository and returns what it printed last.
func script(ctx context.Context, path string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, "bash", append([]string{filepath.Join(controlplane.Root(), path)}, args...)...)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w", path, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// again runs this program with the same arguments in new namespaces. It dies with this process, and all others of its
// namespaces with it.
func again(ctx context.Context, namespaces uintptr, env ...string) (int, error) {
	self, err := os.Executable()
	if err != nil {
		return 1, err
	}
	runtime.LockOSThread() // the kernel kills the child when the thread that made it ends
	cmd := exec.CommandContext(ctx, self, os.Args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.Env = append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	err = cmd.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) && exit.Exited() {
		return exit.ExitCode(), nil
	}
	return 0, err
}
