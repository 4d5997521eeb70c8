package audit

import (
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func TestPlanScratch(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.SQLite))
	l := newLog(t, db, time.Now, nil)
	fill(t, l, 300000, 30, 4096)
	must(t, l.index(t.Context()))
	fill(t, l, 3000, 30, 4096)
	show := func(name, q string, args ...any) {
		r, err := db.Query(t.Context(), "EXPLAIN QUERY PLAN "+q, args...)
		must(t, err)
		for r.Next() {
			var a, b, c int
			var s string
			must(t, r.Scan(&a, &b, &c, &s))
			t.Log(name, s)
		}
		r.Close()
		for range 3 {
			c0 := cpu()
			r, err = db.Query(t.Context(), q, args...)
			must(t, err)
			n := 0
			for r.Next() {
				n++
			}
			r.Close()
			t.Log(name, n, cpu()-c0)
		}
	}
	show("tail", selectTail, tenant, 0, 1<<62)
	show("span", selectMaxSpan, tenant)
	show("index", selectIndex, tenant, "", 0, 1<<62, 1<<62, "x", 1<<62, 4)
	show("index p", selectIndex, tenant, "p:environments/production/billing/00042", 0, 1<<62, 1<<62, "x", 1<<62, 64)
	var w string
	must(t, db.QueryRow(t.Context(), "SELECT writer FROM audit_writers").Scan(&w))
	show("bodies", selectBodies+placeholders(3, 4)+")", tenant, w, 1, 31, 61, 61)
	show("sums", selectSums, tenant, 0, 1<<62)
	show("psums", selectPathSums, tenant, 0, 1<<62, "environments/production/billing/00042")
	show("behind", selectBehind, l.owner)
}
