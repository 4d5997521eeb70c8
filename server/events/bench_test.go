package events_test

import (
	"encoding/json"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// BenchmarkWrite is a write of 64 concurrent callers without and with an event: the difference is what the
// log costs a writer.
func BenchmarkWrite(b *testing.B) {
	for _, engine := range []store.Engine{store.SQLite, store.Postgres} {
		for _, withEvent := range []bool{false, true} {
			b.Run(fmt.Sprintf("%s/event=%v", engine, withEvent), func(b *testing.B) { benchmarkWrite(b, engine, withEvent) })
		}
	}
}

func benchmarkWrite(b *testing.B, engine store.Engine, withEvent bool) {
	db := storetest.Open(b, storetest.Options(b, engine))
	log := events.NewLog(db, discard)
	var n atomic.Int64
	c := newClock()
	b.SetParallelism(32)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			path := fmt.Sprintf("environments/production/app%d/database", n.Add(1)%10_000)
			err := db.Update(b.Context(), func(tx *store.Tx) error {
				_, err := tx.Exec(`INSERT INTO secrets (tenant, path, secret_type, version, max_versions, metadata, created_at, updated_at)
VALUES ('tnt_a', $1, 'kv', 1, 1, '{}', 0, 0) ON CONFLICT (tenant, path) DO UPDATE SET version = secrets.version + 1`, path)
				if err != nil || !withEvent {
					return err
				}
				return log.Emit(tx, guard.Event{
					Tenant: "tnt_a", Type: "secret.updated", Path: path, IdentityID: "sa:billing:billing-prod", RequestID: "req_abcdefghijklmnop",
					Time: c.now(), Data: json.RawMessage(`{"old_version":1,"new_version":2,"updated_by":"sa:billing:billing-prod","is_rotation":false}`),
				})
			})
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}
