package node

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// prefix and the process id name what a run leaves outside its namespaces.
const prefix = "scaivault-node-"

// traces are what a run leaves outside its namespaces: a directory and cgroups.
type traces struct {
	dir    string
	cgroup string // below the mount point of every hierarchy
}

func ours(pid int) traces {
	name := prefix + strconv.Itoa(pid)
	return traces{dir: filepath.Join(os.TempDir(), name), cgroup: "/" + name}
}

// make makes them and starts the janitor. What it returns waits until the janitor has removed them.
func (t traces) make() (undo func() error, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, os.Args[1:]...)
	cmd.Env = append(os.Environ(), stageVar+"="+stageJanitor, dirVar+"="+t.dir, cgroupVar+"="+t.cgroup)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} // an interrupt from the terminal is not for it
	alive, err := cmd.StdinPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	undo = func() error { return errors.Join(alive.Close(), cmd.Wait()) }
	if err := t.create(); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}

func (t traces) create() error {
	if err := os.MkdirAll(t.dir, 0o711); err != nil { // others pass: containers are not root
		return err
	}
	at, err := hierarchies()
	for _, h := range at {
		err = errors.Join(err, os.MkdirAll(h+t.cgroup, 0o755))
	}
	return err
}

// janitor removes the traces when its standard input ends, which it does when the process at the other end does.
func janitor() error {
	if _, err := io.Copy(io.Discard, os.Stdin); err != nil {
		return err
	}
	t := traces{dir: os.Getenv(dirVar), cgroup: os.Getenv(cgroupVar)}
	limit, tick := time.After(time.Minute), time.NewTicker(100*time.Millisecond)
	for {
		err := t.remove() // fails as long as processes are dying
		if err == nil {
			return nil
		}
		select {
		case <-limit:
			return err
		case <-tick.C:
		}
	}
}

// remove removes the cgroups first, which can only be done when all processes of the namespaces are gone, and their
// mounts with them.
func (t traces) remove() error {
	at, err := hierarchies()
	for _, h := range at {
		err = errors.Join(err, removeCgroups(h+t.cgroup))
	}
	if err != nil {
		return err
	}
	return os.RemoveAll(t.dir)
}

// removeCgroups removes a cgroup and those below it, the lowest first. Their files cannot be removed.
func removeCgroups(root string) error {
	var dirs []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			dirs = append(dirs, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, d := range slices.Backward(dirs) {
		err = errors.Join(err, os.Remove(d))
	}
	return err
}

// sweep removes the traces of runs whose janitor was killed too.
func sweep() {
	at, err := hierarchies()
	if err != nil {
		return
	}
	for _, parent := range append(at, os.TempDir()) {
		old, _ := filepath.Glob(filepath.Join(parent, prefix+"*")) // the pattern is well formed
		for _, path := range old {
			pid, err := strconv.Atoi(strings.TrimPrefix(filepath.Base(path), prefix))
			if err == nil && syscall.Kill(pid, 0) != nil {
				_ = ours(pid).remove() // the next run tries again
			}
		}
	}
}

// hierarchies are the mount points of cgroups: one in version 2, one per controller in version 1.
func hierarchies() ([]string, error) {
	mounts, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return nil, err
	}
	var at []string
	for line := range strings.Lines(string(mounts)) {
		if f := strings.Fields(line); len(f) > 2 && (f[2] == "cgroup" || f[2] == "cgroup2") {
			at = append(at, f[1])
		}
	}
	if len(at) == 0 {
		return nil, fmt.Errorf("no cgroup file system is mounted")
	}
	return at, nil
}
