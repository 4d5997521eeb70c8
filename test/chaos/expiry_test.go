package chaos

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server"
	"github.com/scailabs/scaivault/test/postgres"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	expiryKills   = 25
	expiryWriters = 3
)

// TestKilledServerAnnouncesOnce kills the single server again and again while secrets expire, are about to, and are
// purged.
func TestKilledServerAnnouncesOnce(t *testing.T) {
	s := vault.New(t)
	s.Start()
	e := newExpiries(t, server.Config{DataDir: s.Vault()}, s)
	for range expiryKills {
		stop := e.run()
		<-time.After(200*time.Millisecond + rand.N(600*time.Millisecond))
		s.Kill()
		stop()
		e.endRetention()
		s.Start()
	}
	e.check(s)
}

// TestKilledReplicasAnnounceOnce does so with three replicas on one database, one of which is killed each time.
func TestKilledReplicasAnnounceOnce(t *testing.T) {
	url, key := postgres.Start(t), vault.RootKey(t)
	var all []*vault.Server
	for range 3 {
		s := vault.NewReplica(t, url, key)
		s.Start()
		all = append(all, s)
	}
	e := newExpiries(t, server.Config{DatabaseURL: url}, all...)
	for range expiryKills {
		stop := e.run()
		<-time.After(200*time.Millisecond + rand.N(600*time.Millisecond))
		victim := all[rand.N(len(all))]
		victim.Kill()
		e.endRetention()
		victim.Start()
		stop()
	}
	e.check(all[0])
}

// expiries writes secrets that end in three ways, each at a path of its own:
//
//	soon/…  is announced a second after it was written, and does not expire
//	over/…  expires a second after it was written
//	gone/…  is deleted, and purged when the test lets its retention end
type expiries struct {
	t       *testing.T
	db      *vault.Database
	servers []*vault.Server
	next    atomic.Int64
	mu      sync.Mutex
	acked   map[string]bool // paths of which every call was acknowledged
}

func newExpiries(t *testing.T, c server.Config, servers ...*vault.Server) *expiries {
	return &expiries{t: t, db: vault.OpenDatabase(t, c), servers: servers, acked: map[string]bool{}}
}

// run writes until the returned function is called, which waits for the calls under way: a call that was left alone
// could still take effect behind the check. Calls to a server that was killed fail.
func (e *expiries) run() (stop func()) {
	var over atomic.Bool
	var all sync.WaitGroup
	for i := range expiryWriters {
		c := e.servers[i%len(e.servers)].Client()
		all.Go(func() {
			for !over.Load() {
				if n := e.next.Add(1); e.one(context.Background(), c, n) != nil {
					return
				}
			}
		})
	}
	return func() { over.Store(true); all.Wait() }
}

func (e *expiries) one(ctx context.Context, c *client.Client, n int64) error {
	none := vaultapi.Thresholds("")
	early := vaultapi.Thresholds("3599s")
	kind, o := "soon", vaultapi.WriteOptions{ExpiresIn: "1h", NotifyBefore: &early}
	switch n % 3 {
	case 1:
		kind, o = "over", vaultapi.WriteOptions{ExpiresIn: "1s", NotifyBefore: &none}
	case 2:
		kind, o = "gone", vaultapi.WriteOptions{}
	}
	path := fmt.Sprintf("%s/s%d", kind, n)
	if _, err := c.Secrets.Write(ctx, path, vaultapi.WriteRequest{Data: []byte(`{"k":"v"}`), Options: o}); err != nil {
		return err
	}
	if kind == "gone" {
		if _, err := c.Secrets.Delete(ctx, path, client.DeleteOptions{}); err != nil {
			return err
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.acked[path] = true
	return nil
}

// endRetention has everything that was deleted by now purged now.
func (e *expiries) endRetention() {
	now := time.Now().UnixMicro()
	month := time.Now().Add(24 * time.Hour).UnixMicro()
	e.db.Exec(fmt.Sprintf(`UPDATE secrets SET purge_at = %d WHERE purge_at > %d`, now, month),
		fmt.Sprintf(`UPDATE jobs SET due_at = %d, scheduled_at = %[1]d WHERE kind = 'secret.purge' AND scheduled_at > %d`, now, month))
}

// check waits until nothing is left to do, and compares what was announced with what must have been.
func (e *expiries) check(s *vault.Server) {
	t := e.t
	t.Helper()
	wait := vault.Caller{TB: t}
	defer func() {
		if left := e.left(); len(left) > 0 {
			t.Logf("at %d there are left %d jobs, such as %s", time.Now().UnixMicro(), len(left), left[0])
		}
	}()
	wait.Eventually("no job of a secret is left but of what expires in an hour", func() bool {
		e.endRetention()
		return len(e.left()) == 0
	})
	wait.Eventually("every event has its position", func() bool { return e.db.Texts(`SELECT COUNT(*) FROM outbox`)[0] == "0" })
	stay := map[string]bool{}
	for _, path := range e.db.Texts(`SELECT path FROM secrets`) {
		stay[path] = true
	}
	said := e.said()
	t.Logf("%d paths acknowledged, %d stay, %d announced", len(e.acked), len(stay), len(said))
	e.acknowledged(stay)
	for n := range e.next.Load() {
		e.once(n+1, stay, said)
	}
	e.recorded(s.Client(), said)
}

// left are the jobs of secrets that are to be done by now.
func (e *expiries) left() []string {
	return e.db.Texts(`SELECT * FROM jobs WHERE tenant <> '' AND (kind <> 'secret.expiry' OR scheduled_at < $1)`, time.Now().Add(time.Minute).UnixMicro())
}

// said counts the notices and purges in the event log by type and path.
func (e *expiries) said() map[string]int {
	said := map[string]int{}
	for _, row := range e.db.Texts(`SELECT type || ' ' || path FROM events WHERE type IN ('secret.expiring', 'secret.expired')
		OR type = 'secret.deleted' AND event LIKE '%"permanent":true%'`) {
		said[row]++
	}
	return said
}

// acknowledged looks whether what was written is there, and what was deleted is not.
func (e *expiries) acknowledged(stay map[string]bool) {
	e.t.Helper()
	if len(e.acked) < 100 {
		e.t.Errorf("only %d paths were acknowledged", len(e.acked))
	}
	for path := range e.acked {
		if stay[path] == strings.HasPrefix(path, "gone/") {
			e.t.Errorf("%s: there %v", path, stay[path])
		}
	}
}

// once looks whether the notice of a path that was written, acknowledged or not, was given once, and no other.
func (e *expiries) once(n int64, stay map[string]bool, said map[string]int) {
	e.t.Helper()
	soon, over, gone := fmt.Sprintf("soon/s%d", n), fmt.Sprintf("over/s%d", n), fmt.Sprintf("gone/s%d", n)
	written := e.acked[gone]
	for notice, want := range map[string]bool{
		"secret.expiring " + soon: stay[soon], "secret.expired " + soon: false,
		"secret.expiring " + over: false, "secret.expired " + over: stay[over],
		"secret.deleted " + gone: written,
	} {
		got := said[notice]
		if unclear := notice == "secret.deleted "+gone && !written && !stay[gone]; unclear {
			if got > 1 {
				e.t.Errorf("%s: %d times", notice, got)
			}
			continue
		}
		if (got == 1) != want || got > 1 {
			e.t.Errorf("%s: %d times", notice, got)
		}
	}
}

// recorded looks whether each notice and each purge has one audit entry.
func (e *expiries) recorded(c *client.Client, said map[string]int) {
	e.t.Helper()
	entries := map[string]int{}
	f := client.AuditFilter{Actions: []string{"secret_expiry_notice", "secret_purge"}, Limit: 1000}
	for {
		page, err := c.Audit.Logs(context.Background(), f)
		if err != nil {
			e.t.Fatal(err)
		}
		for _, l := range page.Logs {
			entries[l.SecretPath]++
		}
		if !page.HasMore {
			break
		}
		f.Cursor = *page.Cursor
	}
	for notice := range said {
		_, path, _ := strings.Cut(notice, " ")
		if entries[path] != 1 {
			e.t.Errorf("%s: %d audit entries", path, entries[path])
		}
		delete(entries, path)
	}
	for path, n := range entries {
		e.t.Errorf("%s: %d audit entries without an event", path, n)
	}
}
