package chaos

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	webhookKills   = 8
	webhookWriters = 4
)

// told is a receiver of events that remembers which delivery each came with.
type told struct {
	mu         sync.Mutex
	deliveries map[string]map[string]bool // event id → delivery ids
	changes    map[string]bool            // path@version
}

func (r *told) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	raw, err := io.ReadAll(q.Body)
	if err != nil {
		return // the server died in the middle of it
	}
	var e vaultapi.Event
	var data struct {
		Version    int64 `json:"version"`
		NewVersion int64 `json:"new_version"`
	}
	if json.Unmarshal(raw, &e) != nil || json.Unmarshal(e.Data, &data) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.deliveries[e.EventID] == nil {
		r.deliveries[e.EventID] = map[string]bool{}
	}
	r.deliveries[e.EventID][q.Header.Get("X-ScaiVault-Delivery-Id")] = true
	r.changes[fmt.Sprintf("%s@%d", e.Path, max(data.Version, data.NewVersion))] = true
}

func (r *told) missing(changes []string) (missing []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range changes {
		if !r.changes[c] {
			missing = append(missing, c)
		}
	}
	return missing
}

// TestKilledServerDeliversEverything kills the server with SIGKILL at random moments while it writes, makes deliveries
// and sends them. Every acknowledged write must reach the receiver, each event under one event id and one delivery id.
func TestKilledServerDeliversEverything(t *testing.T) {
	r := &told{deliveries: map[string]map[string]bool{}, changes: map[string]bool{}}
	receiver := httptest.NewTLSServer(r)
	t.Cleanup(receiver.Close)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: receiver.Certificate().Raw})
	if err := os.WriteFile(ca, block, 0o600); err != nil {
		t.Fatal(err)
	}
	s := vault.New(t, "--webhook-allow-private", "--webhook-ca-file", ca)
	s.Start()
	made, err := s.Client().Webhooks.Create(t.Context(), vaultapi.WebhookWrite{
		Name: "chaos", URL: receiver.URL, Secret: "whsec_chaos", Events: []string{"secret.*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var acked []string
	for range webhookKills {
		acked = append(acked, writeUntilKilled(s)...)
		s.Start()
	}
	if len(acked) < 100 {
		t.Fatalf("only %d acknowledged writes", len(acked))
	}
	tick, end := time.NewTicker(100*time.Millisecond), time.After(2*time.Minute)
	defer tick.Stop()
	for missing := r.missing(acked); len(missing) > 0; missing = r.missing(acked) {
		select {
		case <-tick.C:
		case <-end:
			t.Fatalf("%d of %d acknowledged writes were never told, such as %s", len(missing), len(acked), missing[0])
		}
	}
	t.Logf("%d kills, %d acknowledged writes, %d events", webhookKills, len(acked), len(r.deliveries))
	checkDeliveries(t, s.Client(), r, made.ID)
}

// writeUntilKilled writes paths of some writers until the server, which is killed at a random moment, answers no more.
func writeUntilKilled(s *vault.Server) (acked []string) {
	ctx, cancel := context.WithCancel(context.Background())
	var mu sync.Mutex
	var writers sync.WaitGroup
	for n := range webhookWriters {
		c := s.Client()
		writers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				path := fmt.Sprintf("chaos/w%d/s%d", n, i%20)
				info, err := c.Secrets.Write(ctx, path, vaultapi.WriteRequest{Data: json.RawMessage(`{"k":"v"}`)})
				if err != nil {
					return
				}
				mu.Lock()
				acked = append(acked, fmt.Sprintf("%s@%d", path, info.Version))
				mu.Unlock()
			}
		})
	}
	<-time.After(100*time.Millisecond + rand.N(500*time.Millisecond))
	s.Kill()
	cancel()
	writers.Wait()
	return acked
}

// checkDeliveries holds what the receiver was told against what the server says it delivered.
func checkDeliveries(t *testing.T, c *client.Client, r *told, webhook string) {
	t.Helper()
	seen := map[string]string{}
	for cursor := ""; ; {
		page, err := c.Webhooks.Deliveries(t.Context(), webhook, client.DeliveryOptions{Limit: 1000, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page.Deliveries {
			if other := seen[d.EventID]; other != "" {
				t.Errorf("event %s has deliveries %s and %s", d.EventID, other, d.ID)
			}
			seen[d.EventID] = d.ID
		}
		if page.Cursor == nil {
			break
		}
		cursor = *page.Cursor
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for event, ids := range r.deliveries {
		if len(ids) != 1 || !ids[seen[event]] {
			t.Errorf("event %s came with deliveries %v, the server knows %q", event, ids, seen[event])
		}
	}
}
