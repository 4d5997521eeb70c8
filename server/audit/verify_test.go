package audit

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// trail appends n blocks of two entries and signs after each, so that every entry is signed.
func trail(t *testing.T, l *Log, n int) {
	t.Helper()
	for i := range n {
		must(t, l.Append(t.Context(), entryOf("read", fmt.Sprintf("a/%d", i)), entryOf("write", fmt.Sprintf("b/%d", i))))
		must(t, l.sign(t.Context()))
	}
}

func execute(t *testing.T, db *store.DB, query string, args ...any) {
	t.Helper()
	must(t, db.Update(t.Context(), func(tx *store.Tx) error {
		res, err := tx.Exec(query, args...)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil || n == 0 {
			return fmt.Errorf("%s: %d rows, %w", query, n, err)
		}
		return nil
	}))
}

func blockAt(t *testing.T, db *store.DB, first int64) (body, head []byte) {
	t.Helper()
	must(t, db.QueryRow(t.Context(), `SELECT body, hash FROM audit_blocks WHERE tenant = $1 AND first_seq = $2`, tenant, first).Scan(&body, &head))
	return body, head
}

// rewrite replaces a block's body and recomputes every hash after it, as somebody would who knows the format.
func rewrite(t *testing.T, db *store.DB, first int64, change func([]byte) []byte) {
	t.Helper()
	body, _ := blockAt(t, db, first)
	execute(t, db, `UPDATE audit_blocks SET body = $1 WHERE tenant = $2 AND first_seq = $3`, change(body), tenant, first)
	var writer string
	must(t, db.QueryRow(t.Context(), `SELECT writer FROM audit_blocks WHERE tenant = $1 LIMIT 1`, tenant).Scan(&writer))
	head := genesis(tenant, writer)
	for seq := int64(1); ; seq += 2 {
		var n int
		must(t, db.QueryRow(t.Context(), `SELECT COUNT(*) FROM audit_blocks WHERE tenant = $1 AND first_seq = $2`, tenant, seq).Scan(&n))
		if n == 0 {
			return
		}
		body, _ := blockAt(t, db, seq)
		_ = lines(body, func(line []byte) error { head, _ = head.link(nil, line); return nil })
		execute(t, db, `UPDATE audit_blocks SET hash = $1 WHERE tenant = $2 AND first_seq = $3`, head[:], tenant, seq)
	}
}

func innocent(body []byte) []byte {
	return bytes.Replace(body, []byte("user:a@b"), []byte("user:x@y"), 1)
}

func TestTamperingIsFound(t *testing.T) {
	cases := []struct {
		name   string
		tamper func(t *testing.T, db *store.DB)
		says   string
	}{
		{"nothing", func(*testing.T, *store.DB) {}, ""},
		{"an entry edited", func(t *testing.T, db *store.DB) {
			body, _ := blockAt(t, db, 3)
			execute(t, db, `UPDATE audit_blocks SET body = $1 WHERE tenant = $2 AND first_seq = 3`, innocent(body), tenant)
		}, "hash after entry 4 is wrong"},
		{"an entry edited and all hashes recomputed", func(t *testing.T, db *store.DB) { rewrite(t, db, 3, innocent) }, "not those that were signed"},
		{"an entry removed from its block", func(t *testing.T, db *store.DB) {
			body, _ := blockAt(t, db, 3)
			execute(t, db, `UPDATE audit_blocks SET body = $1 WHERE tenant = $2 AND first_seq = 3`, body[bytes.IndexByte(body, '\n')+1:], tenant)
		}, "does not hold what its row says"},
		{"a block removed from the middle", func(t *testing.T, db *store.DB) {
			execute(t, db, `DELETE FROM audit_blocks WHERE tenant = $1 AND first_seq = 3`, tenant)
		}, "entries 3 to 4 are missing"},
		{"two blocks swapped", func(t *testing.T, db *store.DB) {
			a, _ := blockAt(t, db, 3)
			b, _ := blockAt(t, db, 5)
			execute(t, db, `UPDATE audit_blocks SET body = $1 WHERE tenant = $2 AND first_seq = 3`, b, tenant)
			execute(t, db, `UPDATE audit_blocks SET body = $1 WHERE tenant = $2 AND first_seq = 5`, a, tenant)
		}, "hash after entry 4 is wrong"},
		{"the end cut off", func(t *testing.T, db *store.DB) {
			execute(t, db, `DELETE FROM audit_blocks WHERE tenant = $1 AND first_seq >= 7`, tenant)
		}, "its end was cut off"},
		{"the end cut off with the checkpoints that covered it", func(t *testing.T, db *store.DB) {
			execute(t, db, `DELETE FROM audit_blocks WHERE tenant = $1 AND first_seq >= 7`, tenant)
			execute(t, db, `DELETE FROM audit_checkpoints WHERE id IN (SELECT id FROM audit_checkpoints ORDER BY at DESC LIMIT 1 OFFSET 1)`)
		}, "is missing: a later one names it"},
		{"a whole chain removed", func(t *testing.T, db *store.DB) {
			execute(t, db, `DELETE FROM audit_blocks WHERE tenant = $1`, tenant)
			execute(t, db, `DELETE FROM audit_chains WHERE tenant = $1`, tenant)
		}, "its end was cut off"},
		{"a chain hidden from queries", func(t *testing.T, db *store.DB) {
			execute(t, db, `DELETE FROM audit_chains WHERE tenant = $1`, tenant)
		}, "not registered any more"},
		{"a chain moved to another writer's name", func(t *testing.T, db *store.DB) {
			execute(t, db, `UPDATE audit_blocks SET writer = 'w_other' WHERE tenant = $1`, tenant)
		}, "hash after entry 2 is wrong"},
		{"a line that is no entry", func(t *testing.T, db *store.DB) {
			rewrite(t, db, 3, func(b []byte) []byte { return bytes.Replace(b, []byte(`"ok":true`), []byte(`"ok":tru3`), 1) })
		}, "cannot be read"},
		{"times of a block changed to hide it", func(t *testing.T, db *store.DB) {
			execute(t, db, `UPDATE audit_blocks SET last_at = 1 WHERE tenant = $1 AND first_seq = 3`, tenant)
		}, "does not hold what its row says"},
		{"a checkpoint edited", func(t *testing.T, db *store.DB) {
			execute(t, db, `UPDATE audit_checkpoints SET body = REPLACE(body, '"seq":', '"seq": ') WHERE id IN (SELECT id FROM audit_checkpoints ORDER BY at LIMIT 1)`)
		}, "was changed"},
		{"the newest checkpoint's signature replaced", func(t *testing.T, db *store.DB) {
			execute(t, db, `UPDATE audit_checkpoints SET signature = $1 WHERE id IN (SELECT id FROM audit_checkpoints ORDER BY at DESC LIMIT 1)`, make([]byte, ed25519.SignatureSize))
		}, "wrong signature"},
		{"checkpoints by another key", func(t *testing.T, db *store.DB) {
			execute(t, db, `UPDATE audit_checkpoints SET key_id = 'mallory'`)
		}, "unknown key"},
	}
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		for _, c := range cases {
			t.Run(c.name, func(t *testing.T) {
				for _, table := range []string{"audit_blocks", "audit_chains", "audit_checkpoints"} {
					must(t, db.Update(t.Context(), func(tx *store.Tx) error {
						_, err := tx.Exec("DELETE FROM " + table)
						return err
					}))
				}
				clk := newClock()
				l := newLog(t, db, func() time.Time { clk.add(time.Second); return clk.now() }, nil)
				trail(t, l, 5)
				c.tamper(t, db)
				v, err := l.Verify(t.Context(), tenant)
				must(t, err)
				if said := strings.Join(v.Problems, "\n"); v.Valid != (c.says == "") || !strings.Contains(said, c.says) {
					t.Errorf("valid %v, problems:\n%s\nwant: %s", v.Valid, said, c.says)
				}
			})
		}
	}, func(o *store.Options) { o.Lanes = 1 })
}

// Verify says how much of the trail nobody has signed yet: of that, and only of that, an end could be cut off unseen.
func TestVerifyCountsUnsigned(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		v, err := l.Verify(t.Context(), tenant)
		must(t, err)
		if !v.Valid || v.Chains != 0 || v.Checkpoint != nil || v.PublicKey == "" {
			t.Errorf("an empty trail: %+v", v)
		}
		trail(t, l, 3)
		must(t, l.Append(t.Context(), entryOf("read", "a/b")))
		v, err = l.Verify(t.Context(), tenant)
		must(t, err)
		if !v.Valid || v.Entries != 7 || v.Unsigned != 1 || v.Checkpoint == nil {
			t.Errorf("%+v, want 7 entries, 1 of them unsigned", v)
		}
		other, err := l.Verify(t.Context(), "tnt_other")
		must(t, err)
		if other.Entries != 0 || other.Chains != 0 {
			t.Errorf("another tenant's view: %+v", other)
		}
	}, func(o *store.Options) { o.Lanes = 1 })
}

// What is emitted is enough for an auditor without the database: body, signature, public key, and the link to the one before.
func TestCheckpointsStandByThemselves(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		var got []Checkpoint
		emit := func(c Checkpoint) { got = append(got, c) }
		first := newLog(t, db, clk.now, emit)
		trail(t, first, 3)
		must(t, first.sign(t.Context())) // nothing new: no checkpoint
		clk.add(time.Second)
		second := newLog(t, db, clk.now, emit) // signs the chains of the one before it at once
		must(t, second.sign(t.Context()))
		if len(got) != 4 {
			t.Fatalf("%d checkpoints, want 4", len(got))
		}
		prev := ""
		for _, c := range got {
			var s statement
			must(t, json.Unmarshal(c.Body, &s))
			if !ed25519.Verify(c.PublicKey, c.Body, c.Signature) || c.ID != checkpointID(c.Body) || s.Prev != prev {
				t.Errorf("checkpoint %s does not hold or does not follow %q", c.ID, prev)
			}
			prev = c.ID
		}
		var last statement
		must(t, json.Unmarshal(got[3].Body, &last))
		if last.Signer == first.owner || len(last.Heads) != 1 || last.Heads[0].Seq != 6 {
			t.Errorf("the new process signed %+v", last)
		}
		v, err := second.Verify(t.Context(), tenant)
		must(t, err)
		if !v.Valid || v.PublicKey != base64.StdEncoding.EncodeToString(got[0].PublicKey) {
			t.Errorf("%+v", v)
		}
	}, func(o *store.Options) { o.Lanes = 1 })
}

// The key in the table is of no use to whoever has only the table.
func TestSigningKeyIsWrapped(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		key, err := l.keys.load(t.Context())
		must(t, err)
		var stored string
		must(t, db.QueryRow(t.Context(), `SELECT value FROM meta WHERE name = $1`, metaKey).Scan(&stored))
		if raw, err := base64.StdEncoding.DecodeString(stored); err != nil || bytes.Contains(raw, key.private.Seed()) {
			t.Errorf("the seed stands in the table: %v", err)
		}
		again, err := newLog(t, db, time.Now, nil).keys.load(t.Context())
		must(t, err)
		if again.id != key.id {
			t.Errorf("another process has key %s, want %s", again.id, key.id)
		}
	})
}

var _ guard.Recorder = (*Log)(nil)
