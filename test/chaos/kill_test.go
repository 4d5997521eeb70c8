// Package chaos kills, cuts and fills the disk of the real server, and then checks that nothing that was
// acknowledged is lost.
package chaos

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	killWriters = 32
	killPaths   = 40 // per writer
	killRounds  = 20
	killAcks    = 50_000
)

// ack is a write that the server acknowledged, recorded outside its process.
type ack struct {
	path      string
	version   int64
	value     string
	requestID string
}

// TestKilledServerLosesNothingAcknowledged kills the server with SIGKILL at random moments under 32 writers,
// until it was killed at least 20 times and acknowledged at least 50 000 writes. Then every acknowledged write
// must be there with its audit entry, and the chain of the audit trail must verify.
func TestKilledServerLosesNothingAcknowledged(t *testing.T) {
	s := vault.New(t)
	w := newWriters(s.URL)
	kills := 0
	for ; kills < killRounds || w.total() < killAcks; kills++ {
		s.Start()
		stop := w.run()
		<-time.After(400*time.Millisecond + rand.N(900*time.Millisecond))
		s.Kill()
		stop()
	}
	t.Logf("%d kills, %d acknowledged writes", kills, w.total())
	s.Start()
	c := s.Client()
	checkValues(t, c, w)
	checkEntries(t, c, w)
	v, err := c.Audit.Verify(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if !v.Valid || v.Entries < int64(w.total()) {
		t.Errorf("verify: %+v", v)
	}
}

// writers write to paths of their own and remember what was acknowledged.
type writers struct {
	url  string
	http *http.Client
	mu   sync.Mutex
	acks []ack
	next [killWriters]int
}

func newWriters(url string) *writers {
	return &writers{url: url, http: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: killWriters}, Timeout: 10 * time.Second}}
}

func (w *writers) total() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.acks)
}

// run starts the writers; the returned function waits for their end.
func (w *writers) run() (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	for i := range killWriters {
		wg.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := w.write(i); err != nil {
					return // the server was killed under this call
				}
			}
		})
	}
	return func() { close(done); wg.Wait(); w.http.CloseIdleConnections() }
}

func (w *writers) write(i int) error {
	n := w.next[i]
	w.next[i]++
	a := ack{path: fmt.Sprintf("kill/w%d/p%d", i, n%killPaths), value: fmt.Sprintf("v-%d-%d", i, n), requestID: fmt.Sprintf("kill-%d-%d", i, n)}
	body := fmt.Sprintf(`{"data":{"v":%q}}`, a.value)
	req, err := http.NewRequest(http.MethodPut, w.url+"/v1/secrets/"+a.path, bytes.NewReader([]byte(body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+vault.Token)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Request-ID", a.requestID)
	resp, err := w.http.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%d: %s", resp.StatusCode, raw)
	}
	var info vaultapi.SecretInfo
	if err := json.Unmarshal(raw, &info); err != nil {
		return err
	}
	a.version = info.Version
	w.mu.Lock()
	defer w.mu.Unlock()
	w.acks = append(w.acks, a)
	return nil
}

// checkValues reads every path back: it is at its last acknowledged version, or at one later version that was
// being written when the server was killed.
func checkValues(t *testing.T, c *client.Client, w *writers) {
	t.Helper()
	last := map[string]ack{}
	for _, a := range w.acks {
		if was, ok := last[a.path]; ok && a.version <= was.version {
			t.Errorf("%s: version %d was acknowledged twice or out of order", a.path, a.version)
		}
		last[a.path] = a
	}
	for path, a := range last {
		got, err := c.Secrets.Read(context.Background(), path, client.ReadOptions{Version: a.version})
		if err != nil {
			t.Errorf("acknowledged write of %s version %d: %v", path, a.version, err)
			continue
		}
		fields, err := got.Data.Fields()
		if err != nil || string(fields["v"]) != fmt.Sprintf("%q", a.value) {
			t.Errorf("%s version %d does not hold what was acknowledged (%v)", path, a.version, err)
		}
	}
}

// checkEntries pages through the audit trail and finds the entry of every acknowledged write.
func checkEntries(t *testing.T, c *client.Client, w *writers) {
	t.Helper()
	found := map[string]string{}
	f := client.AuditFilter{Actions: []string{"write"}, Limit: 1000}
	for {
		page, err := c.Audit.Logs(context.Background(), f)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range page.Logs {
			if was, twice := found[e.RequestID]; twice {
				t.Errorf("request %s has two entries: %s and %s", e.RequestID, was, e.ID)
			}
			found[e.RequestID] = e.ID
		}
		if !page.HasMore {
			break
		}
		f.Cursor = *page.Cursor
	}
	missing := 0
	for _, a := range w.acks {
		if _, ok := found[a.requestID]; !ok {
			missing++
		}
	}
	if missing > 0 {
		t.Errorf("%d of %d acknowledged writes have no audit entry", missing, len(w.acks))
	}
}
