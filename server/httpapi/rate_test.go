package httpapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/fault"
)

func TestLimiter(t *testing.T) {
	rows, err := Limits{Profile: "documented", PerMinute: map[string]int{"list": 6}}.table()
	if err != nil {
		t.Fatal(err)
	}
	l := newLimiter(rows)
	start := time.Unix(1000, 0)
	key := bucketKey{tenant: "t", id: "sa:x", category: rateList}
	for i := range 6 {
		v := l.take(key, 1, start)
		if !v.ok || v.remaining != int64(5-i) || v.reset != start.Unix()+int64(10*(i+1)) {
			t.Fatalf("call %d: %+v", i, v)
		}
	}
	if v := l.take(key, 1, start); v.ok || v.remaining != 0 || v.retryAfter != 10*time.Second || v.reset != start.Unix()+60 {
		t.Fatalf("the seventh call: %+v", v)
	}
	for _, other := range []bucketKey{{"t", "sa:y", rateList}, {"u", "sa:x", rateList}, {"t", "sa:x", rateReadSecrets}} {
		if v := l.take(other, 1, start); !v.ok {
			t.Errorf("%v shares a bucket with %v", other, key)
		}
	}
	if v := l.take(key, 1, start.Add(9999*time.Millisecond)); v.ok || v.retryAfter != time.Millisecond {
		t.Errorf("a moment too early: %+v", v)
	}
	if v := l.take(key, 1, start.Add(10*time.Second)); !v.ok || v.remaining != 0 {
		t.Errorf("one call has refilled: %+v", v)
	}
	if v := l.take(key, -1, start.Add(10*time.Second)); v.remaining != 1 {
		t.Errorf("given back: %+v", v)
	}
	if v := l.take(key, 7, start.Add(time.Hour)); v.ok || v.remaining != 6 {
		t.Errorf("more than the bucket holds: %+v", v)
	}
	if v := l.take(key, 6, start.Add(time.Hour)); !v.ok {
		t.Errorf("all at once after an hour: %+v", v)
	}
	if v := l.take(key, 0, start.Add(time.Hour)); v.ok {
		t.Errorf("a look at an empty bucket: %+v", v)
	}
	if v := l.take(key, 1, start); !v.ok || v.remaining != 5 {
		t.Errorf("a clock that was set back by an hour: %+v", v)
	}
}

func TestLimiterForgetsTheLeastRecentlyUsed(t *testing.T) {
	rows, _ := Limits{PerMinute: map[string]int{"list": 1}}.table()
	l := newLimiter(rows)
	now := time.Unix(1000, 0)
	busy := bucketKey{id: "busy", category: rateList}
	l.take(busy, 1, now)
	for i := range 4 * rateShards * bucketsPerShard {
		l.take(bucketKey{id: strconv.Itoa(i), category: rateList}, 1, now)
		if i%1000 == 0 && l.take(busy, 1, now).ok {
			t.Fatal("a bucket in use was forgotten")
		}
	}
	held := 0
	for i := range l.shards {
		held += len(l.shards[i].buckets)
	}
	if held > rateShards*bucketsPerShard {
		t.Errorf("%d buckets are held", held)
	}
}

func TestLimitsTable(t *testing.T) {
	for _, test := range []struct {
		limits Limits
		want   int
	}{
		{Limits{Profile: "documented"}, 1000}, {Limits{}, 60_000}, {Limits{Profile: "cluster"}, 60_000},
		{Limits{Profile: "unlimited"}, 60_000_000}, {Limits{PerMinute: map[string]int{"read_secrets": 7}}, 7},
	} {
		rows, err := test.limits.table()
		if err != nil || rows[rateReadSecrets].perMinute != test.want {
			t.Errorf("%+v: %d, %v", test.limits, rows[rateReadSecrets].perMinute, err)
		}
	}
	for _, bad := range []Limits{
		{Profile: "none"}, {PerMinute: map[string]int{"nope": 1}}, {PerMinute: map[string]int{"": 1}},
		{PerMinute: map[string]int{"list": 0}}, {PerMinute: map[string]int{"list": -1}}, {PerMinute: map[string]int{"list": maxPerMinute + 1}},
	} {
		if _, err := bad.table(); err == nil {
			t.Errorf("%+v is accepted", bad)
		}
	}
}

func TestRateHeaders(t *testing.T) {
	f := newFixture(t, Config{Limits: Limits{PerMinute: map[string]int{"read_secrets": 2, "anonymous": 3}}}, nil)
	for want := 1; want >= 0; want-- {
		w := f.do(t, "GET", "/v1/secrets/a", "")
		h := w.Header()
		if h.Get("X-RateLimit-Limit") != "2" || h.Get("X-RateLimit-Remaining") != strconv.Itoa(want) {
			t.Errorf("Limit %s, Remaining %s, want 2, %d", h.Get("X-RateLimit-Limit"), h.Get("X-RateLimit-Remaining"), want)
		}
		if reset, err := strconv.ParseInt(h.Get("X-RateLimit-Reset"), 10, 64); err != nil || reset <= f.now.Unix() || reset > f.now.Unix()+60 {
			t.Errorf("Reset %s", h.Get("X-RateLimit-Reset"))
		}
	}
	w := f.do(t, "GET", "/v1/secrets/a", "")
	e := envelope(t, w)
	if w.Code != http.StatusTooManyRequests || e.Code != fault.CodeRateLimited || w.Header().Get("Retry-After") != "30" ||
		e.Details["retry_after"] != 30.0 || e.Details["category"] != "read_secrets" || w.Header().Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("%d %+v %v", w.Code, e, w.Header())
	}
	if got := f.edge.last(t).Action; got != "rate_limited" {
		t.Errorf("recorded as %s", got)
	}
	if w := f.do(t, "GET", "/v1/secrets", ""); w.Code != http.StatusOK {
		t.Errorf("another category: %d", w.Code)
	}
	f.now = f.now.Add(30 * time.Second)
	if w := f.do(t, "GET", "/v1/secrets/a", ""); w.Code != http.StatusOK {
		t.Errorf("after Retry-After: %d", w.Code)
	}
	for i := range 4 {
		w := f.do(t, "GET", "/v1/health", "", "Authorization", "")
		if want := map[bool]int{true: 200, false: 429}[i < 3]; w.Code != want {
			t.Errorf("anonymous call %d: %d", i, w.Code)
		}
		checkHeaders(t, w)
	}
	// A source that has spent its budget does not keep a caller with a token out.
	f.now = f.now.Add(time.Minute)
	for range 5 {
		f.do(t, "GET", "/v1/secrets/a", "", "Authorization", "Bearer wrong")
	}
	if w := f.do(t, "GET", "/v1/secrets/a", ""); w.Code != http.StatusOK {
		t.Errorf("a good token from a bad source: %d", w.Code)
	}
}

func TestRefusalsAreLimitedBySource(t *testing.T) {
	f := newFixture(t, Config{Limits: Limits{PerMinute: map[string]int{"anonymous": 2}}}, nil)
	var got []string
	for range 3 {
		w := f.do(t, "GET", "/v1/secrets/A", "")
		got = append(got, fmt.Sprint(w.Code))
		envelope(t, w)
	}
	if s := strings.Join(got, " "); s != "400 400 429" {
		t.Error(s)
	}
}

func BenchmarkTake(b *testing.B) {
	rows, _ := Limits{Profile: "unlimited"}.table()
	l := newLimiter(rows)
	now := time.Now()
	key := bucketKey{tenant: "tnt_default", id: "sa:billing:billing-prod", category: rateReadSecrets}
	b.ReportAllocs()
	for b.Loop() {
		l.take(key, 1, now)
	}
}

// A batch counts against reads too, all of it or nothing, and paths without an answer are given back.
func TestCharge(t *testing.T) {
	f := newFixture(t, Config{Limits: Limits{PerMinute: map[string]int{"read_secrets": 5}}}, func(s *Server) []route {
		return []route{{method: "POST", pattern: "/v1/secrets/batch", id: "batchRead", group: groupSecrets, scope: "secrets:read", rate: rateBatchRead, action: "read",
			endpoint: handle(func(ctx context.Context, c *call, in batchInput) (nothing, error) {
				n := int64(len(in.Body.Paths))
				if err := c.charge(ctx, rateReadSecrets, n); err != nil {
					return nothing{}, err
				}
				c.giveBack(rateReadSecrets, n-1)
				return nothing{}, nil
			})}}
	})
	for i, want := range []int{200, 200, 200, 429} {
		w := f.do(t, "POST", "/v1/secrets/batch", `{"paths":["a","b","c"]}`)
		if w.Code != want {
			t.Errorf("batch %d: %d %s", i, w.Code, w.Body)
		}
		if want == 429 {
			if e := envelope(t, w); e.Details["category"] != "read_secrets" || w.Header().Get("Retry-After") == "" || f.edge.last(t).Action != "rate_limited" {
				t.Errorf("%+v", e)
			}
		}
	}
	if w := f.do(t, "POST", "/v1/secrets/batch", `{"paths":["a","b"]}`); w.Code != http.StatusOK {
		t.Errorf("two that still fit: %d", w.Code)
	}
}
