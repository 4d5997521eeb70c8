package chaos

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/vault"
)

const syncCalls = 60

var (
	// With -f -y every line starts with the thread, and descriptors carry their paths.
	syncDone   = regexp.MustCompile(`^\d+ +(?:fsync|fdatasync)\(\d+<[^>]*-wal>\) += 0`)
	syncOpen   = regexp.MustCompile(`^(\d+) +(?:fsync|fdatasync)\(\d+<([^>]*)> <unfinished`)
	syncClosed = regexp.MustCompile(`^(\d+) +<\.\.\. (?:fsync|fdatasync) resumed>\) += 0`)
	answered   = regexp.MustCompile(`^\d+ +(?:write|writev|sendto)\(\d+<[^>]*>, "HTTP/1\.1 2\d\d`)
	// The first byte of a request may have come with an earlier read: net/http waits for it to notice a client that left.
	asked = regexp.MustCompile(`(?:read\(\d+<[^>]*>|read resumed>), "\w+ /v1/secrets/sync/`)
)

// TestNoAnswerBeforeSync watches the server's system calls while one client writes and reads in turn: between
// the arrival of a request and the first byte of its 2xx, the database's log must have been synced. A read
// counts as well, because its audit entry must be durable before the value leaves.
func TestNoAnswerBeforeSync(t *testing.T) {
	strace, err := exec.LookPath("strace")
	if err != nil {
		t.Fatal("this test watches system calls: apt-get install strace")
	}
	s := vault.New(t)
	trace := filepath.Join(t.TempDir(), "trace")
	s.Prefix = []string{strace, "-f", "-y", "-s", "64", "-e", "trace=fsync,fdatasync,read,write,writev,sendto", "-o", trace}
	s.Start()
	c := s.Client()
	for i := range syncCalls {
		if i%2 == 0 {
			_, err = c.Secrets.Write(context.Background(), "sync/p"+strconv.Itoa(i), vaultapi.WriteRequest{Data: []byte(`{"v":1}`)})
		} else {
			_, err = c.Secrets.Read(context.Background(), "sync/p"+strconv.Itoa(i-1), client.ReadOptions{})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.Stop()
	seen, early := judge(t, trace)
	if seen < syncCalls {
		t.Errorf("the trace shows %d of %d calls", seen, syncCalls)
	}
	if early > 0 {
		t.Errorf("%d of %d answers left before a sync of the log", early, seen)
	}
}

// judge counts the calls in a trace, and those whose answer left without a sync since the request.
func judge(t *testing.T, trace string) (seen, early int) {
	t.Helper()
	f, err := os.Open(trace)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	lines := bufio.NewScanner(f)
	lines.Buffer(make([]byte, 1<<20), 1<<20)
	pending, synced := false, false
	unfinished := map[string]bool{} // threads in the middle of a sync of the log
	for lines.Scan() {
		line := lines.Text()
		if m := syncOpen.FindStringSubmatch(line); m != nil {
			unfinished[m[1]] = filepath.Ext(m[2]) == ".db-wal"
			continue
		}
		if m := syncClosed.FindStringSubmatch(line); m != nil {
			synced = synced || unfinished[m[1]]
			delete(unfinished, m[1])
			continue
		}
		switch {
		case asked.MatchString(line):
			pending, synced = true, false
		case syncDone.MatchString(line):
			synced = true
		case pending && answered.MatchString(line):
			pending = false
			seen++
			if !synced {
				early++
			}
		}
	}
	return seen, early
}
