package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/postgres"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	rotatedPaths  = 60
	rotationKills = 15
	leaseEnds     = 2*time.Minute + 20*time.Second // a claim of a killed server comes due again
)

// TestKilledServerRotatesOnce kills the server with SIGKILL at random moments while 60 secrets are rotated every two
// seconds, 15 times. Then each version of each secret must be in the history once and among the events once, none may
// be missing, and every secret must go on being rotated.
func TestKilledServerRotatesOnce(t *testing.T) {
	s := vault.New(t)
	s.Start()
	rotateUnderKills(t, s)
}

// TestKilledReplicasRotateOnce does so with three replicas on one database, one of which is killed each time.
func TestKilledReplicasRotateOnce(t *testing.T) {
	url, key := postgres.Start(t), vault.RootKey(t)
	var all []*vault.Server
	for range 3 {
		s := vault.NewReplica(t, url, key)
		s.Start()
		all = append(all, s)
	}
	rotateUnderKills(t, all...)
}

func rotateUnderKills(t *testing.T, all ...*vault.Server) {
	t.Helper()
	p := rotating(t, all[0].Client())
	events := map[string]int{}
	for range rotationKills {
		<-time.After(300*time.Millisecond + rand.N(1500*time.Millisecond))
		victim := all[rand.N(len(all))]
		victim.Kill()
		victim.Start()
		completed(t, victim.Client(), p.subscription, events)
	}
	c, began := all[0].Client(), time.Now()
	for _, path := range p.paths {
		p.await(t, c, path, began)
	}
	if _, err := c.Rotation.DisablePolicy(context.Background(), p.id, ""); err != nil {
		t.Fatal(err)
	}
	completed(t, c, p.subscription, events)
	p.compare(t, c, events)
}

// rotated is what the test watches.
type rotated struct {
	id, subscription string
	paths            []string
}

func rotating(t *testing.T, c *client.Client) rotated {
	t.Helper()
	ctx := context.Background()
	policy, err := c.Rotation.CreatePolicy(ctx, vaultapi.RotationPolicyWrite{Name: "fast", Interval: "2s", GracePeriod: "1s", AutoGenerate: true})
	if err != nil {
		t.Fatal(err)
	}
	sub, err := c.Subscriptions.Create(ctx, vaultapi.SubscriptionWrite{
		Name: "completed", Paths: []string{"**"}, Events: []string{"rotation.completed"}, Delivery: vaultapi.Delivery{Type: "polling", BufferSize: 100_000},
	})
	if err != nil {
		t.Fatal(err)
	}
	p := rotated{id: policy.ID, subscription: sub.ID}
	for i := range rotatedPaths {
		path := fmt.Sprintf("fast/%02d", i)
		if _, err := c.Secrets.Write(ctx, path, vaultapi.WriteRequest{Data: json.RawMessage(`{"password":"1"}`), Options: vaultapi.WriteOptions{RotationPolicyID: policy.ID}}); err != nil {
			t.Fatal(err)
		}
		p.paths = append(p.paths, path)
	}
	return p
}

// completed counts the events of rotations, by path and version, and acknowledges them.
func completed(t *testing.T, c *client.Client, subscription string, seen map[string]int) {
	t.Helper()
	for {
		page, err := c.Subscriptions.Poll(context.Background(), subscription, client.PollOptions{MaxEvents: 1000})
		if err != nil {
			t.Fatal(err)
		}
		if len(page.Events) == 0 {
			return
		}
		var ids []string
		for _, e := range page.Events {
			var d struct {
				NewVersion int64 `json:"new_version"`
			}
			if err := json.Unmarshal(e.Data, &d); err != nil {
				t.Fatal(err)
			}
			seen[fmt.Sprintf("%s %d", e.Path, d.NewVersion)]++
			ids = append(ids, e.EventID)
		}
		if err := c.Subscriptions.Ack(context.Background(), subscription, ids...); err != nil {
			t.Fatal(err)
		}
	}
}

// await waits until a secret was rotated again.
func (p rotated) await(t *testing.T, c *client.Client, path string, since time.Time) {
	t.Helper()
	tick, limit := time.NewTicker(200*time.Millisecond), time.After(leaseEnds)
	defer tick.Stop()
	for {
		info, err := c.Secrets.ReadMetadata(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		if info.UpdatedAt.After(since) {
			return
		}
		select {
		case <-tick.C:
		case <-limit:
			t.Fatalf("%s is not rotated any more, since %s", path, info.UpdatedAt)
		}
	}
}

// compare wants history, events and versions to tell the same.
func (p rotated) compare(t *testing.T, c *client.Client, events map[string]int) {
	t.Helper()
	history := map[string]int{}
	for cursor := ""; ; {
		page, err := c.Rotation.History(context.Background(), p.id, client.HistoryFilter{Limit: 1000, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range page.History {
			if h.Status != "success" || h.NewVersion != h.OldVersion+1 {
				t.Errorf("history: %+v", h)
			}
			history[fmt.Sprintf("%s %d", h.Path, h.NewVersion)]++
		}
		if page.Cursor == nil {
			break
		}
		cursor = *page.Cursor
	}
	total := int64(0)
	for _, path := range p.paths {
		info, err := c.Secrets.ReadMetadata(context.Background(), path)
		if err != nil {
			t.Fatal(err)
		}
		total += info.Version - 1
		for v := int64(2); v <= info.Version; v++ {
			key := fmt.Sprintf("%s %d", path, v)
			if history[key] != 1 || events[key] != 1 {
				t.Errorf("version %d of %s: %d times in the history, %d events", v, path, history[key], events[key])
			}
		}
	}
	if int64(len(history)) != total || int64(len(events)) != total {
		t.Errorf("%d rotations, %d in the history, %d events", total, len(history), len(events))
	}
	t.Logf("%d rotations of %d secrets, %d kills", total, len(p.paths), rotationKills)
}
