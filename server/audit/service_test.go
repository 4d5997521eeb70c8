package audit

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

func contextWithStop(t *testing.T) (context.Context, func()) { return context.WithCancel(t.Context()) }

func auditor(tenant string, scopes ...string) guard.Caller {
	return guard.Caller{
		Tenant: tenant, Type: guard.TypeUser, ID: "user:auditor@acme.example", Scopes: scopes,
		SourceIP: netip.MustParseAddr("192.0.2.7"), UserAgent: "curl/8", RequestID: "req_q",
	}
}

func newService(l *Log, db *store.DB, clk *clock) *Service {
	return NewService(l, &guard.Guard{DB: db, Audit: l, Now: clk.now}, made{"prod/stripe": clk.now().AddDate(0, 0, -5)})
}

// record appends what recipes 25 and 26 ask for: two people and a service at three secrets, over two months.
func record(t *testing.T, l *Log, clk *clock) {
	t.Helper()
	day := func(n int) time.Time { return clk.now().AddDate(0, 0, -n) }
	for _, e := range []guard.Entry{
		{Time: day(60), Action: "read", IdentityID: "user:alice@acme.example", Path: "old/db", Success: true},
		{Time: day(10), Action: "read", IdentityID: "user:alice@acme.example", Path: "prod/stripe", Success: true},
		{Time: day(9), Action: "write", IdentityID: "user:alice@acme.example", Path: "prod/db", Success: true},
		{Time: day(8), Action: "read", IdentityID: "user:alice@acme.example", Path: "prod/forbidden", Code: "access_denied"},
		{Time: day(8), Action: "list", IdentityID: "user:alice@acme.example", Path: "prod/", Success: true},
		{Time: day(7), Action: "batch_read", IdentityID: "sa:billing-prod", Path: "prod/stripe", Success: true, Duration: 1500 * time.Microsecond},
		{Time: day(0), Action: "read", IdentityID: "sa:billing-prod", Path: "prod/stripe", Success: true, Notes: []guard.Note{{Key: "version", Value: "3"}}},
		{Time: day(0), Action: "policy_create", IdentityID: "user:bob@acme.example", Target: "pol_1", Success: true},
	} {
		e.Tenant, e.IdentityType, e.SourceIP, e.UserAgent, e.RequestID = tenant, "user", "10.1.2.3", "sdk/1", "req_7"
		must(t, l.Append(t.Context(), e))
	}
}

func TestTrails(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		s, who := newService(l, db, clk), auditor(tenant, "audit:read")
		record(t, l, clk)
		for _, indexed := range []bool{false, true} {
			t.Run(fmt.Sprintf("indexed %v", indexed), func(t *testing.T) {
				if indexed {
					must(t, l.index(t.Context()))
				}
				secretTrail(t, s, who, clk)
				identityTrail(t, s, who, clk)
			})
		}
	})
}

func secretTrail(t *testing.T, s *Service, who guard.Caller, clk *clock) {
	got, err := s.SecretTrail(t.Context(), who, "prod/stripe", Query{From: clk.now().AddDate(0, 0, -1)})
	must(t, err)
	if len(got.Logs) != 1 || got.HasMore || got.Cursor != nil {
		t.Fatalf("the last day of prod/stripe: %+v", got)
	}
	e := got.Logs[0]
	if !strings.HasPrefix(e.ID, "log_") || !e.Timestamp.Equal(clk.now()) || e.IdentityID != "sa:billing-prod" || e.SourceIP != "10.1.2.3" {
		t.Errorf("entry %+v", e)
	}
	if diff := cmp.Diff(map[string]any{"version": "3"}, e.ExtraData); diff != "" {
		t.Errorf("extra_data (-want +got):\n%s", diff)
	}
	want := vaultapi.SecretTrailSummary{Reads30d: 3, DistinctIdentities30d: 2, LastReadAt: &vaultapi.MicroTime{Time: clk.now()}}
	if diff := cmp.Diff(want, got.Summary); diff != "" {
		t.Errorf("summary (-want +got):\n%s", diff)
	}
}

func identityTrail(t *testing.T, s *Service, who guard.Caller, clk *clock) {
	got, err := s.IdentityTrail(t.Context(), who, "user:alice@acme.example", Query{From: clk.now().AddDate(0, 0, -30)})
	must(t, err)
	want := vaultapi.IdentityTrailSummary{
		TotalEvents: 4, ByAction: map[string]int64{"read": 2, "write": 1, "list": 1},
		ResourcesAccessed: []string{"prod/db", "prod/stripe"}, // what was refused or only listed need not be rotated
		FirstEventAt:      &vaultapi.MicroTime{Time: clk.now().AddDate(0, 0, -10)},
		LastEventAt:       &vaultapi.MicroTime{Time: clk.now().AddDate(0, 0, -8)},
	}
	if diff := cmp.Diff(want, got.Summary); diff != "" || len(got.Logs) != 4 {
		t.Errorf("%d entries, summary (-want +got):\n%s", len(got.Logs), diff)
	}
	nobody, err := s.IdentityTrail(t.Context(), who, "user:nobody", Query{})
	must(t, err)
	raw, err := json.Marshal(nobody)
	must(t, err)
	if !strings.Contains(string(raw), `"resources_accessed":[]`) || !strings.Contains(string(raw), `"logs":[]`) || !strings.Contains(string(raw), `"cursor":null`) {
		t.Errorf("nobody's trail: %s", raw)
	}
}

func TestSummary(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		s, who := newService(l, db, clk), auditor(tenant, "audit:read")
		record(t, l, clk)
		month, err := s.Summary(t.Context(), who, clk.now().AddDate(0, 0, -30), clk.now())
		must(t, err)
		if month.TotalEvents != 7 || month.FailedEvents != 1 || month.SuccessfulEvents != 6 || month.DistinctPaths != 4 || month.DistinctIDs != 3 || month.ByAction["read"] != 3 {
			t.Errorf("the month: %+v", month)
		}
		day, err := s.Summary(t.Context(), who, time.Time{}, time.Time{})
		must(t, err)
		if want := int64(3); day.TotalEvents != want || day.ByAction[ActionQuery] != 1 { // the query before this one is there already
			t.Errorf("the last day: %+v, want %d events", day, want)
		}
		if _, err := s.Summary(t.Context(), who, clk.now(), clk.now().Add(-time.Hour)); !fault.Is(err, fault.CodeInvalidRequest) {
			t.Errorf("from after to: %v", err)
		}
	})
}

// Who looks at the trail is in the trail, whether or not he was let; and nobody sees another tenant's.
func TestQueriesAreGuardedAndRecorded(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		s := newService(l, db, clk)
		record(t, l, clk)
		calls := map[string]func(guard.Caller) (int, error){
			"logs": func(who guard.Caller) (int, error) {
				v, err := s.Logs(t.Context(), who, Query{PathPrefix: "prod/"})
				return len(v.Logs), err
			},
			"prod/stripe": func(who guard.Caller) (int, error) {
				v, err := s.SecretTrail(t.Context(), who, "prod/stripe", Query{})
				return len(v.Logs) + int(v.Summary.Reads30d), err
			},
			"user:alice@acme.example": func(who guard.Caller) (int, error) {
				v, err := s.IdentityTrail(t.Context(), who, "user:alice@acme.example", Query{})
				return len(v.Logs) + int(v.Summary.TotalEvents) + len(v.Summary.ResourcesAccessed), err
			},
			"summary": func(who guard.Caller) (int, error) {
				v, err := s.Summary(t.Context(), who, clk.now().AddDate(0, 0, -90), clk.now())
				return int(v.ByAction["read"]), err
			},
			"verify": func(who guard.Caller) (int, error) {
				v, err := s.Verify(t.Context(), who)
				return int(v.Entries), err
			},
		}
		for target, call := range calls {
			if n, err := call(auditor(tenant, "secrets:read", "admin")); !fault.Is(err, fault.CodeInsufficientScope) || n != 0 {
				t.Errorf("%s without scope: %d, %v", target, n, err)
			}
			if n, err := call(auditor(tenant, "audit:read")); err != nil || n == 0 {
				t.Errorf("%s: %d, %v", target, n, err)
			}
			if n, err := call(auditor("tnt_other"+strings.NewReplacer(":", "", "/", "", "@", "").Replace(target), "audit:read")); err != nil || n != 0 {
				t.Errorf("%s of another tenant: %d, %v", target, n, err)
			}
			var ok []bool
			for _, f := range all(t, db, tenant) {
				if f.entry.Action == ActionQuery && f.entry.Target == target && f.entry.Path == "" {
					ok = append(ok, f.entry.Success)
				}
			}
			if len(ok) != 2 || !slices.Contains(ok, true) || !slices.Contains(ok, false) {
				t.Errorf("%s: recorded outcomes %v, want one refusal and one success", target, ok)
			}
		}
	})
}

// A read is visible as soon as Append has returned, on this process and on another.
func TestEntryIsVisibleAtOnce(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		l, other := newLog(t, db, clk.now, nil), newLog(t, db, clk.now, nil)
		for i := range 40 {
			must(t, l.Append(t.Context(), entryOf("read", "a/b")))
			for _, reader := range []*Log{l, other} {
				list, err := reader.page(t.Context(), tenant, "a/b", Query{Limit: 1000})
				must(t, err)
				if len(list.Logs) != i+1 || !list.Logs[0].Timestamp.Equal(clk.now()) {
					t.Fatalf("%d entries, the newest of %v, want %d, %v", len(list.Logs), list.Logs[0].Timestamp, i+1, clk.now())
				}
			}
			if i%7 == 0 {
				must(t, l.index(t.Context()))
			}
			clk.add(time.Second)
		}
	})
}

// While the indexer works everybody sees his own entries: all of them, and each once.
func TestReadersDuringIndexing(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		l.chunk = 3
		ctx, stop := contextWithStop(t)
		indexed := make(chan struct{})
		go func() {
			defer close(indexed)
			for ctx.Err() == nil {
				_ = l.index(ctx)
			}
		}()
		var wg sync.WaitGroup
		for w := range 4 {
			wg.Go(func() {
				e := entryOf("read", fmt.Sprintf("own/%d", w))
				e.IdentityID = fmt.Sprintf("user:%d", w)
				for n := 1; n <= 40; n++ {
					if err := l.Append(t.Context(), e); err != nil {
						t.Error(err)
						return
					}
					list, err := l.page(t.Context(), tenant, e.Path, Query{Limit: 1000})
					done, derr := l.deeds(t.Context(), tenant, scope{identity: e.IdentityID}, interval{0, math.MaxInt64})
					if err != nil || derr != nil || len(list.Logs) != n || done[deed{e.IdentityID, e.Path, "read", true}].events != int64(n) {
						t.Errorf("after %d entries: %d found, %v counted, %v, %v", n, len(list.Logs), done, err, derr)
						return
					}
				}
			})
		}
		wg.Wait()
		stop()
		<-indexed
		must(t, l.index(t.Context()))
		if diff := cmp.Diff(counted(all(t, db, tenant)), reads(t, db)); diff != "" {
			t.Errorf("reads (-counted +kept):\n%s", diff)
		}
	})
}

// A query that no term narrows looks at so much and no more, and says where to go on.
func TestScanIsBounded(t *testing.T) {
	db := storetest.Open(t, storetest.Options(t, store.SQLite))
	l := newLog(t, db, time.Now, nil)
	wide := entryOf("read", "a/b")
	wide.UserAgent = strings.Repeat("\x01", maxAgent) // six bytes each in the line
	batch := slices.Repeat([]guard.Entry{wide}, 500)
	for i := range 130 {
		for j := range batch {
			batch[j].Time = time.UnixMicro(int64(1e15 + i*1000 + j))
		}
		must(t, l.Append(t.Context(), batch...))
	}
	last := entryOf("write", "needle")
	last.Time = time.UnixMicro(1)
	must(t, l.Append(t.Context(), last))
	q, rounds, hits := Query{PathPrefix: "needle"}, 0, 0
	for {
		list, err := l.page(t.Context(), tenant, "", q)
		must(t, err)
		hits += len(list.Logs)
		rounds++
		if !list.HasMore {
			break
		}
		q.Cursor = *list.Cursor
	}
	if hits != 1 || rounds < 2 {
		t.Errorf("%d hits in %d pages, want the one needle after more than one page", hits, rounds)
	}
}
