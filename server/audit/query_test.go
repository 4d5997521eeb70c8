package audit

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// naive answers a query by looking at every entry.
func naive(entries []found, path string, q Query) []string {
	var hits []found
	for _, f := range entries {
		e := f.entry
		switch {
		case !q.From.IsZero() && e.Time.Before(q.From), !q.To.IsZero() && e.Time.After(q.To):
		case path != "" && e.Path != path, !strings.HasPrefix(e.Path, q.PathPrefix):
		case len(q.Actions) > 0 && !slices.Contains(q.Actions, e.Action):
		case q.IdentityID != "" && q.IdentityID != e.IdentityID, q.IdentityType != "" && q.IdentityType != e.IdentityType:
		case q.SourceIP != "" && q.SourceIP != e.SourceIP, q.RequestID != "" && q.RequestID != e.RequestID:
		case q.Success != nil && *q.Success != e.Success:
		default:
			hits = append(hits, f)
		}
	}
	slices.SortFunc(hits, func(a, b found) int {
		if a.position.before(b.position) {
			return -1
		}
		return 1
	})
	ids := []string{}
	for _, f := range hits {
		ids = append(ids, entryID(f.position))
	}
	return ids
}

// pages follows the cursors to the end, in pages of random size.
func pages(t *testing.T, l *Log, r *rand.Rand, path string, q Query) []string {
	t.Helper()
	ids := []string{}
	for {
		q.Limit = 1 + r.IntN(60)
		list, err := l.page(t.Context(), tenant, path, q)
		must(t, err)
		if len(list.Logs) > q.Limit || list.HasMore != (list.Cursor != nil) {
			t.Fatalf("%d entries for limit %d, has_more %v", len(list.Logs), q.Limit, list.HasMore)
		}
		for _, e := range list.Logs {
			ids = append(ids, e.ID)
		}
		if !list.HasMore {
			return ids
		}
		q.Cursor = *list.Cursor
	}
}

func randomQuery(r *rand.Rand, base time.Time) (string, Query) {
	var q Query
	var path string
	some := func(n int, set func()) {
		if r.IntN(n) == 0 {
			set()
		}
	}
	some(3, func() { q.From = base.Add(-time.Duration(r.IntN(60)) * time.Hour) })
	some(3, func() { q.To = base.Add(time.Duration(r.IntN(120)-60) * time.Minute) })
	some(4, func() { q.Actions = []string{actions[r.IntN(len(actions))]} })
	some(6, func() { q.Actions = []string{"read", "write"} })
	some(3, func() { q.IdentityID = fmt.Sprintf("user:%d@x", r.IntN(13)) })
	some(6, func() { q.IdentityType = "user" })
	some(4, func() { q.PathPrefix = []string{"a/b", "a/", "x/1", "none"}[r.IntN(4)] })
	some(4, func() { path = []string{"a/b", "a/bc", "x/3", "none"}[r.IntN(4)] })
	some(6, func() { q.Success = ptr(r.IntN(2) == 0) })
	some(8, func() { q.SourceIP = "10.0.0.1" })
	some(10, func() { q.RequestID = fmt.Sprintf("req_%d", r.IntN(500)) })
	if q.From.After(q.To) && !q.To.IsZero() {
		q.From, q.To = q.To, q.From
	}
	return path, q
}

// Two processes write, index now and then, stop in the middle of it; answers are those of the naive scan.
func TestQueriesAgreeWithNaiveScan(t *testing.T) {
	var commits supply
	commits.allow(plenty)
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := rand.New(rand.NewPCG(3, 4))
		clk := newClock()
		l, other := newLog(t, db, clk.now, nil), newLog(t, db, clk.now, nil)
		l.chunk, other.chunk = 30, 30
		_, err := l.keys.load(t.Context())
		must(t, err)
		for round := range 12 {
			appendRandom(t, l, r, clk.now(), 40)
			appendRandom(t, other, r, clk.now(), 20)
			switch round % 4 {
			case 0:
				must(t, l.index(t.Context()))
			case 1:
				commits.allow(1 + int64(r.IntN(8)))
				_ = other.index(t.Context())
				commits.allow(plenty)
			case 2:
				must(t, other.index(t.Context()))
			}
			entries := all(t, db, tenant)
			for range 25 {
				path, q := randomQuery(r, clk.now())
				if diff := cmp.Diff(naive(entries, path, q), pages(t, l, r, path, q)); diff != "" {
					t.Fatalf("round %d, path %q, %+v (-naive +got):\n%s", round, path, q, diff)
				}
				iv, s := randomInterval(r, clk.now()), scope{path: path, identity: q.IdentityID}
				if s.path != "" {
					s.identity = ""
				}
				got, err := l.deeds(t.Context(), tenant, s, iv)
				must(t, err)
				if diff := cmp.Diff(naiveDeeds(entries, s, iv), got, cmp.AllowUnexported(deed{}, tally{})); diff != "" {
					t.Fatalf("round %d, %+v in %+v (-naive +got):\n%s", round, s, iv, diff)
				}
			}
			clk.add(17 * time.Minute)
		}
	}, commits.option)
}

func randomInterval(r *rand.Rand, base time.Time) interval {
	iv := interval{math.MinInt64, math.MaxInt64}
	if r.IntN(3) > 0 {
		iv.from = base.Add(-time.Duration(r.IntN(300)) * time.Minute).UnixMicro()
	}
	if r.IntN(3) == 0 {
		iv.to = max(iv.from, base.Add(-time.Duration(r.IntN(200))*time.Minute).UnixMicro())
	}
	return iv
}

func naiveDeeds(entries []found, s scope, iv interval) map[deed]tally {
	out := map[deed]tally{}
	for _, f := range entries {
		e := f.entry
		if f.at < iv.from || f.at > iv.to || s.path != "" && s.path != e.Path || s.identity != "" && s.identity != e.IdentityID {
			continue
		}
		k := deed{e.IdentityID, e.Path, e.Action, e.Success}
		old, ok := out[k]
		n := tally{max(e.Count, 1), f.at, f.at}
		if ok {
			n = tally{old.events + n.events, min(old.first, f.at), max(old.last, f.at)}
		}
		out[k] = n
	}
	return out
}

// A reader that follows cursors sees every entry that was there when it began exactly once, whatever comes meanwhile.
func TestCursorsAreStableWhileEntriesArrive(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		r := rand.New(rand.NewPCG(5, 6))
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		appendRandom(t, l, r, clk.now(), 60)
		want := naive(all(t, db, tenant), "", Query{})
		clk.add(time.Hour)
		q, got := Query{Limit: 7}, []string{}
		for {
			list, err := l.page(t.Context(), tenant, "", q)
			must(t, err)
			for _, e := range list.Logs {
				got = append(got, e.ID)
			}
			if !list.HasMore {
				break
			}
			q.Cursor = *list.Cursor
			e := entryOf("read", "new")
			e.Time = clk.now()
			must(t, l.Append(t.Context(), e))
			if r.IntN(2) == 0 {
				must(t, l.index(t.Context()))
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-there at first +seen):\n%s", diff)
		}
	})
}

func TestQueryRefusesBadInput(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		must(t, l.Append(t.Context(), entryOf("read", "a"), entryOf("read", "b"), entryOf("read", "c")))
		first, err := l.page(t.Context(), tenant, "", Query{Limit: 1, Actions: []string{"read"}})
		must(t, err)
		cursor := *first.Cursor
		flipped := []byte(cursor)
		flipped[3] ^= 1
		cases := []struct {
			name, tenant, path string
			q                  Query
			code               string
		}{
			{"limit too large", tenant, "", Query{Limit: 1001}, fault.CodeInvalidRequest},
			{"limit negative", tenant, "", Query{Limit: -1}, fault.CodeInvalidRequest},
			{"from after to", tenant, "", Query{From: time.Unix(2, 0), To: time.Unix(1, 0)}, fault.CodeInvalidRequest},
			{"no cursor at all", tenant, "", Query{Cursor: "%%%"}, fault.CodeInvalidCursor},
			{"cursor too short", tenant, "", Query{Cursor: "AAAA"}, fault.CodeInvalidCursor},
			{"cursor changed", tenant, "", Query{Cursor: string(flipped), Actions: []string{"read"}}, fault.CodeInvalidCursor},
			{"cursor of another query", tenant, "", Query{Cursor: cursor, Actions: []string{"write"}}, fault.CodeInvalidCursor},
			{"cursor of another path", tenant, "a", Query{Cursor: cursor, Actions: []string{"read"}}, fault.CodeInvalidCursor},
			{"cursor of another tenant", "tnt_other", "", Query{Cursor: cursor, Actions: []string{"read"}}, fault.CodeInvalidCursor},
			{"the cursor's own query, another limit", tenant, "", Query{Cursor: cursor, Actions: []string{"read"}, Limit: 1000}, ""},
			{"what no database would store", tenant, "a\x00b", Query{IdentityID: "\xff", Actions: []string{"\x00"}, PathPrefix: "\x00"}, ""},
		}
		for _, c := range cases {
			if _, err := l.page(t.Context(), c.tenant, c.path, c.q); fault.Code(err) != c.code {
				t.Errorf("%s: %v, want code %q", c.name, err, c.code)
			}
		}
	})
}

// FuzzCursor: no text is taken for a cursor but those that were given out.
func FuzzCursor(f *testing.F) {
	key := newSigningKey(make([]byte, 32))
	digest := []byte("digest")
	f.Add(key.cursorAt(position{1, "w_a", 2}, digest))
	f.Add("")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := key.readCursor(text, digest)
		if err == nil {
			if again, err := key.readCursor(key.cursorAt(p, digest), digest); err != nil || again != p {
				t.Errorf("%q is read as %+v, which is given out as something else", text, p)
			}
		}
		if _, err := key.readCursor(text, []byte("other")); err == nil {
			t.Errorf("%q is good for any query", text)
		}
	})
}

// FuzzRefs: a damaged list of blocks is refused or read, and never hangs or panics.
func FuzzRefs(f *testing.F) {
	f.Add(encodeRefs([]ref{{1, 5, 9}, {31, 2, 70}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		refs, err := decodeRefs(b)
		if err != nil {
			if !errors.Is(err, errRefs) {
				t.Errorf("unexpected error %v", err)
			}
			return
		}
		again, err := decodeRefs(encodeRefs(refs))
		if err != nil || !slices.Equal(refs, again) {
			t.Errorf("%v is read back as %v, %v", refs, again, err)
		}
	})
}

func TestHoursSplit(t *testing.T) {
	const h = int64(hourMicros)
	cases := []struct {
		name  string
		in    interval
		whole interval
		parts []interval
	}{
		{"open", interval{math.MinInt64, math.MaxInt64}, interval{math.MinInt64, math.MaxInt64}, nil},
		{"one exact hour", interval{5 * h, 6*h - 1}, interval{5, 5}, nil},
		{"inside an hour", interval{5*h + 1, 6*h - 2}, interval{6, 4}, []interval{{5*h + 1, 6*h - 2}}},
		{"both ends", interval{5*h + 1, 8 * h}, interval{6, 7}, []interval{{5*h + 1, 6*h - 1}, {8 * h, 8 * h}}},
		{"open end", interval{5*h + 1, math.MaxInt64}, interval{6, math.MaxInt64}, []interval{{5*h + 1, 6*h - 1}}},
		{"before 1970", interval{-5*h - 1, -3*h - 1}, interval{-5, -4}, []interval{{-5*h - 1, -5*h - 1}}},
	}
	for _, c := range cases {
		whole, parts := hours(c.in)
		if whole != c.whole || !slices.Equal(parts, c.parts) {
			t.Errorf("%s: %v and %v, want %v and %v", c.name, whole, parts, c.whole, c.parts)
		}
	}
}
