package secrets

import (
	"fmt"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/seal"
)

func rowOf(bytes int) *sealedRow {
	return &sealedRow{uid: "u", sealed: seal.Sealed{Value: make([]byte, bytes)}}
}

func TestCacheDoesNotKeepWhatWasReadBeforeAChange(t *testing.T) {
	c := newCache(1 << 20)
	_, before := c.get("t", "a")
	c.forget("t", "a")
	c.put("t", "a", rowOf(1), before)
	row, ticket := c.get("t", "a")
	if row != nil {
		t.Fatal("a row that was read before a change came after it")
	}
	c.put("t", "a", rowOf(1), ticket)
	if row, _ := c.get("t", "a"); row == nil {
		t.Error("a row that was read after the change was not kept")
	}
	if row, _ := c.get("other", "a"); row != nil {
		t.Error("a row of another tenant")
	}
	c.forget("t", "a")
	if row, _ := c.get("t", "a"); row != nil {
		t.Error("a changed row was kept")
	}
}

func TestCacheIsBoundedAndDropsWhatWasReadLeastRecently(t *testing.T) {
	const rows, bytes = 2000, 4 << 10
	c := newCache(cacheShards * 20 * bytes)
	for i := range rows {
		path := fmt.Sprint(i)
		_, ticket := c.get("t", path)
		c.put("t", path, rowOf(bytes), ticket)
		if hot, _ := c.get("t", "0"); hot == nil {
			t.Fatalf("the row that is read all the time was dropped after %d others", i)
		}
	}
	kept, size := 0, int64(0)
	for i := range c.shards {
		s := &c.shards[i]
		if kept += len(s.rows); s.size > s.limit || s.used.Len() != len(s.rows) {
			t.Errorf("shard of %d rows and %d bytes, limit %d", len(s.rows), s.size, s.limit)
		}
		size += s.size
	}
	if kept == 0 || size > cacheShards*20*bytes {
		t.Errorf("%d rows with %d bytes", kept, size)
	}
	_, ticket := c.get("t", "huge")
	c.put("t", "huge", rowOf(21*bytes), ticket)
	if row, _ := c.get("t", "huge"); row != nil {
		t.Error("a row larger than its shard was kept")
	}
}

func TestPagesDoNotKeepWhatWasReadBeforeAChange(t *testing.T) {
	p, s := newPages(), span{"a", "b", 3}
	rows := func(n int) []listed { return make([]listed, n) }
	_, _, before := p.get("t", s)
	p.forget("t")
	p.put("t", s, rows(1), before)
	if _, known, _ := p.get("t", s); known {
		t.Fatal("rows that were read before a change came after it")
	}
	_, _, ticket := p.get("t", s)
	p.put("t", s, rows(0), ticket)
	p.forget("other")
	if _, known, _ := p.get("t", s); !known {
		t.Error("a change of another tenant dropped the page")
	}
	for i := range 100 {
		s.size = 1000 + i
		p.put("t", s, rows(1000), ticket)
		if n := p.tenants["t"].rows; n > maxPagedRows {
			t.Fatalf("%d rows in memory", n)
		}
	}
}

func TestNilCacheAndPagesKeepNothing(t *testing.T) {
	var c *cache
	var p *pages
	c.put("t", "a", rowOf(1), 0)
	p.put("t", span{}, []listed{{info: vaultapi.SecretInfo{Path: "a"}}}, 0)
	c.forget("t", "a")
	p.forget("t")
	if row, _ := c.get("t", "a"); row != nil {
		t.Error("a row")
	}
	if _, known, _ := p.get("t", span{}); known {
		t.Error("a page")
	}
}
