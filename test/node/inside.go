package node

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Address is the node's own: where the API server, kubelet and DNS serve.
const Address = "192.0.2.2"

// inside is process 1 of the namespaces.
func inside() (int, error) {
	dir := os.Getenv(dirVar)
	if err := errors.Join(mounts(dir), network()); err != nil {
		return 1, err
	}
	self, err := os.Executable()
	if err = errors.Join(err, os.Setenv(stageVar, stageTest)); err != nil {
		return 1, err
	}
	tests, err := os.StartProcess(self, os.Args, &os.ProcAttr{Files: []*os.File{os.Stdin, os.Stdout, os.Stderr}})
	if err != nil {
		return 1, err
	}
	return bury(tests.Pid)
}

// bury waits for all orphans of the namespace until the process pid ended, whose exit code it returns.
func bury(pid int) (int, error) {
	for {
		var status syscall.WaitStatus
		dead, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1, fmt.Errorf("wait: %w", err)
		case dead == pid && status.Signaled():
			return 1, fmt.Errorf("the tests were ended by signal %v", status.Signal())
		case dead == pid:
			return status.ExitStatus(), nil
		}
	}
}

// mounts makes what a node changes outside its own directory private to these namespaces.
func mounts(dir string) error {
	err := mount("", "/", "", syscall.MS_REC|syscall.MS_PRIVATE) // from here on nothing reaches the host
	err = errors.Join(err, mount("proc", "/proc", "proc", 0))
	// Sockets and locks of container runtimes, results of CNI, links to logs.
	for _, at := range []string{"/run", "/var/lib", "/var/log"} {
		err = errors.Join(err, mount("tmpfs", at, "tmpfs", 0))
	}
	// The test process resolves names as a pod does.
	resolv := "search svc.cluster.local cluster.local\nnameserver " + Address + "\noptions ndots:5\n"
	err = errors.Join(err, replace(dir, "/etc/resolv.conf", resolv))
	// kubelet sets these for the whole machine unless they are as it wants them.
	for path, value := range map[string]string{
		"vm/overcommit_memory": "1", "vm/panic_on_oom": "0", "kernel/panic": "10", "kernel/panic_on_oops": "1",
		"kernel/keys/root_maxkeys": "1000000", "kernel/keys/root_maxbytes": "25000000",
	} {
		err = errors.Join(err, replace(dir, "/proc/sys/"+path, value+"\n"))
	}
	return err
}

func mount(source, target, kind string, flags uintptr) error {
	if err := syscall.Mount(source, target, kind, flags, ""); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	return nil
}

// replace lays a file of that content over path.
func replace(dir, path, content string) error {
	own := filepath.Join(dir, strings.ReplaceAll(strings.TrimPrefix(path, "/"), "/", "-"))
	if err := os.WriteFile(own, []byte(content), 0o644); err != nil {
		return err
	}
	return mount(own, path, "", syscall.MS_BIND)
}

// network gives the namespaces an address that is not loopback, and a route, without which nothing is sent to the
// addresses of Services for kube-proxy to translate.
func network() error {
	for _, args := range []string{
		"link set lo up",
		"address add " + Address + "/32 dev lo",
		"route add default dev lo src " + Address,
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			return fmt.Errorf("ip %s: %w: %s", args, err, out)
		}
	}
	return nil
}
