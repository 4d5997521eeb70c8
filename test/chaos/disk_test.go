package chaos

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/scailabs/scaivault/test/vault"
)

const (
	diskSize    = 48 << 20
	diskWriters = 32
	// A value is large, so that a batch of the writers does not fit into what little is left.
	diskValue = 16 << 10
)

// TestDiskFull fills the disk under 32 writers. Every call that needs a commit then gets 503, the process lives
// and its health answers; when there is space again it goes on by itself. Nothing that was acknowledged is lost,
// before and after a restart.
func TestDiskFull(t *testing.T) {
	s := vault.New(t)
	disk := newDisk(t, s)
	s.Start()
	c := vault.Caller{TB: t, URL: s.URL, Token: vault.Token, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: diskWriters}, Timeout: time.Minute}}
	o := newOutcomes()
	w := &filling{c: c, o: o, done: make(chan struct{})}
	w.start()
	c.Eventually("some writes are acknowledged", func() bool { return w.acked.Load() > 100 })
	disk.fill()
	c.Eventually("every writer was refused", func() bool { return w.failed.Load() > 20*diskWriters })
	refusing(t, s, c)
	acked := w.acked.Load()
	disk.free()
	c.Eventually("writes go on", func() bool { return w.acked.Load() > acked+100 })
	close(w.done)
	w.wg.Wait()
	t.Logf("%d acknowledged, %d refused", w.acked.Load(), w.failed.Load())
	if log, err := os.ReadFile(s.Log); err != nil || strings.Contains(string(log), "goroutine ") || strings.Contains(string(log), "panic") {
		t.Errorf("the server's log tells of a crash (%v)", err)
	}
	w.verify(c)
	s.Stop()
	s.Start()
	w.verify(c)
}

// refusing checks what a server says whose disk is full.
func refusing(t *testing.T, s *vault.Server, c vault.Caller) {
	t.Helper()
	for _, r := range []vault.Request{
		{Method: "PUT", Path: "/v1/secrets/disk/one-more", Body: object{"data": object{"v": strings.Repeat("x", 4*diskValue)}}},
		{Method: "PUT", Path: "/v1/secrets/disk/one-more", Body: object{"data": object{"v": strings.Repeat("x", 4*diskValue)}}},
	} {
		if got := c.Do(r); got.Status != http.StatusServiceUnavailable || got.Code() != "service_unavailable" {
			t.Errorf("%s %s on a full disk: %d %s", r.Method, r.Path, got.Status, got.Body)
		}
	}
	for _, path := range []string{"/v1/health", "/v1/health/ready", "/v1/version", "/v1/metrics"} {
		if got := c.Do(vault.Request{Path: path}); got.Status != http.StatusOK {
			t.Errorf("%s on a full disk: %d %s", path, got.Status, got.Body)
		}
	}
	if !s.Running() {
		t.Fatal("the server ended")
	}
}

// filling is the writers.
type filling struct {
	c             vault.Caller
	o             *outcomes
	done          chan struct{}
	wg            sync.WaitGroup
	acked, failed atomic.Int64
}

func (w *filling) start() {
	for i := range diskWriters {
		w.wg.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-w.done:
					return
				default:
					w.write(i, n)
				}
			}
		})
	}
}

// write writes a large value next to the small one by which it is known again.
func (w *filling) write(i, n int) {
	path, id := fmt.Sprintf("disk/w%d/p%d", i, n%2), fmt.Sprintf("disk-%d-%d", i, n)
	got := w.c.Try(vault.Request{
		Method: "PUT", Path: "/v1/secrets/" + path, Header: map[string]string{"X-Request-ID": id},
		Body: object{"data": object{"v": id, "fill": strings.Repeat("x", diskValue)}, "options": object{"max_versions": 2}},
	})
	if w.o.note(w.c, got, path, id) {
		w.acked.Add(1)
	} else {
		w.failed.Add(1)
	}
}

// verify finds the newest acknowledged value of every path, the entry of every write, and a chain that verifies.
func (w *filling) verify(c vault.Caller) {
	c.TB.Helper()
	newest := map[string]string{}
	for id, version := range w.o.acked {
		if was, ok := newest[w.o.paths[id]]; !ok || w.o.acked[was] < version {
			newest[w.o.paths[id]] = id
		}
	}
	for path, id := range newest {
		w.o.value(c, path, id)
		next := c.Do(vault.Request{Path: fmt.Sprintf("/v1/secrets/%s?version=%d", path, w.o.acked[id]+1)})
		if next.Code() != "version_not_found" {
			c.TB.Errorf("%s: a version that was refused is there: %d", path, next.Status)
		}
	}
	if d := difference(w.o.acked, recorded(c)); d != "" {
		c.TB.Errorf("audit entries of writes: %s", d)
	}
	var v struct {
		Valid    bool     `json:"valid"`
		Entries  int      `json:"entries"`
		Problems []string `json:"problems"`
	}
	c.Must(vault.Request{Path: "/v1/audit/verify"}, &v)
	if !v.Valid || v.Entries < len(w.o.acked) {
		c.TB.Errorf("verify: %+v", v)
	}
}

// disk is what a server's data directory is on: a small file system of its own where this process may mount one,
// else a limit on the size of its files.
type disk struct {
	t       *testing.T
	s       *vault.Server
	ballast string // "": the limit
}

func newDisk(t *testing.T, s *vault.Server) *disk {
	t.Helper()
	if err := os.Mkdir(s.Vault(), 0o700); err != nil {
		t.Fatal(err)
	}
	err := unix.Mount("tmpfs", s.Vault(), "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", diskSize))
	if errors.Is(err, os.ErrPermission) {
		t.Log("no file system can be mounted here: a limit on the size of files stands in for it")
		return &disk{t: t, s: s}
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		s.Stop()
		if err := unix.Unmount(s.Vault(), 0); err != nil {
			t.Error(err)
		}
	})
	return &disk{t: t, s: s, ballast: filepath.Join(s.Vault(), "ballast")}
}

// fill leaves no byte.
func (d *disk) fill() {
	d.t.Helper()
	if d.ballast == "" {
		d.limit(1)
		return
	}
	f, err := os.Create(d.ballast)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	for chunk := make([]byte, 64<<10); len(chunk) > 0; {
		if _, err := f.Write(chunk); errors.Is(err, syscall.ENOSPC) {
			chunk = chunk[:len(chunk)/2]
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

func (d *disk) free() {
	d.t.Helper()
	if d.ballast == "" {
		d.limit(unix.RLIM_INFINITY)
		return
	}
	if err := os.Remove(d.ballast); err != nil {
		d.t.Fatal(err)
	}
}

func (d *disk) limit(size uint64) {
	d.t.Helper()
	if err := unix.Prlimit(d.s.PID(), unix.RLIMIT_FSIZE, &unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}, nil); err != nil {
		d.t.Fatal(err)
	}
}
