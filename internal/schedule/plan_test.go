package schedule

import (
	"errors"
	"fmt"
	"testing"
	"time"
)

const day = 24 * time.Hour

func read(tb testing.TB, text Text) Plan {
	tb.Helper()
	text.From = at(tb, "2026-03-01T12:00:00Z")
	p, err := Read(text)
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

func TestNext(t *testing.T) {
	now := at(t, "2026-03-01T12:00:00Z")
	interval := read(t, Text{Interval: "90d", Spread: "10d"})
	for i := range 100 {
		offset := interval.Offset("tnt", fmt.Sprint(i))
		if next := interval.Next(now, offset); next.After(now.Add(90*day)) || !next.After(now.Add(80*day)) {
			t.Fatalf("a secret of an interval never gets older than promised: %s", next)
		}
	}
	slots := read(t, Text{Cron: "0 3 * * 6", Window: "2h"})
	if slots.Spread != time.Hour {
		t.Fatalf("spread %s", slots.Spread)
	}
	slot := at(t, "2026-03-07T03:00:00Z")
	offset := slots.Offset("tnt", "app/db")
	if next := slots.Next(now, offset); !next.Equal(slot.Add(offset)) {
		t.Fatalf("next %s", next)
	}
	if next := slots.Next(slot.Add(offset), offset); !next.Equal(slot.Add(7*day + offset)) {
		t.Fatalf("after a rotation in its place comes the next slot: %s", next)
	}
	if closer := read(t, Text{Cron: "*/10 * * * *", GracePeriod: "5m"}); closer.Spread != 10*time.Minute {
		t.Fatalf("spread of close slots %s", closer.Spread)
	}
	if short := read(t, Text{Cron: "0 3 * * 6", Window: "10m"}); short.Spread != 10*time.Minute {
		t.Fatalf("spread within a short window %s", short.Spread)
	}
}

func TestMissed(t *testing.T) {
	p := read(t, Text{Cron: "0 3 * * *", Window: "2h", Spread: "1h", GracePeriod: "1h"})
	offset := 30 * time.Minute
	due := at(t, "2026-03-07T03:30:00Z")
	for _, test := range []struct {
		name, now string
		missed    bool
		next      string
	}{
		{"in time", "2026-03-07T03:30:00Z", false, "2026-03-07T03:30:00Z"},
		{"late, in the window", "2026-03-07T04:59:59Z", false, "2026-03-07T03:30:00Z"},
		{"too late", "2026-03-07T05:00:00Z", true, "2026-03-08T03:30:00Z"},
		{"days later, before its place in an open window", "2026-03-10T03:10:00Z", true, "2026-03-10T03:30:00Z"},
		{"days later, in an open window", "2026-03-10T04:10:00Z", true, "2026-03-10T04:10:00Z"},
		{"days later, between windows", "2026-03-10T12:00:00Z", true, "2026-03-11T03:30:00Z"},
	} {
		missed, next := p.Missed(due, at(t, test.now), offset)
		if missed != test.missed || !next.Equal(at(t, test.next)) {
			t.Errorf("%s: %v %s, want %v %s", test.name, missed, next.Format(time.RFC3339), test.missed, test.next)
		}
	}
	anytime := read(t, Text{Cron: "0 3 * * *", GracePeriod: "1h"})
	if missed, _ := anytime.Missed(due, due.Add(100*day), offset); missed {
		t.Error("without a window nothing is missed")
	}
}

// 10 000 secrets on one schedule do not fire at once: each of 60 minutes has about as many as any other.
func TestSpreadIsEven(t *testing.T) {
	p := read(t, Text{Cron: "0 3 * * 6"})
	for name, path := range map[string]func(int) string{
		"numbered":    func(i int) string { return fmt.Sprintf("environments/production/service-%d/database", i) },
		"short":       func(i int) string { return fmt.Sprint(i) },
		"one differs": func(i int) string { return fmt.Sprintf("a/%05d", i) },
	} {
		var minutes [60]int
		seconds := map[time.Duration]int{}
		for i := range 10_000 {
			offset := p.Offset("tnt_default", path(i))
			if offset < 0 || offset >= time.Hour {
				t.Fatalf("offset %s", offset)
			}
			minutes[offset/time.Minute]++
			seconds[offset.Truncate(time.Second)]++
		}
		for m, n := range minutes {
			if n < 110 || n > 230 { // 167 expected; five standard deviations
				t.Errorf("%s: minute %d has %d of 10 000", name, m, n)
			}
		}
		for s, n := range seconds {
			if n > 15 {
				t.Errorf("%s: second %s has %d of 10 000", name, s, n)
			}
		}
	}
	first, again := p.Offset("tnt_a", "app/db"), p.Offset("tnt_a", "app/db")
	if first == p.Offset("tnt_b", "app/db") || first != again {
		t.Error("an offset belongs to a tenant's path, and stays")
	}
}

func TestReadRefuses(t *testing.T) {
	from := at(t, "2026-03-01T12:00:00Z")
	for name, test := range map[string]struct {
		in    Text
		field string
	}{
		"neither":            {Text{}, "interval"},
		"both":               {Text{Interval: "1d", Cron: "0 3 * * *"}, "interval"},
		"zero":               {Text{Interval: "0s"}, "interval"},
		"negative":           {Text{Interval: "-5d"}, "interval"},
		"shorter than grace": {Text{Interval: "1h", GracePeriod: "1h1m"}, "grace_period"},
		"default grace":      {Text{Interval: "47h"}, "grace_period"},
		"slots too close":    {Text{Cron: "0 3 * * 1-5"}, "grace_period"}, // a day apart, but for the weekend
		"hold too long":      {Text{Interval: "10d", Hold: "11d"}, "grace_hold"},
		"hold too short":     {Text{Interval: "10d", Hold: "1d"}, "grace_hold"},
		"window too long":    {Text{Cron: "0 3 * * *", Window: "25h", GracePeriod: "1h"}, "window"},
		"impossible":         {Text{Cron: "0 0 30 2 *"}, "cron"},
	} {
		test.in.From = from
		_, err := Read(test.in)
		var wrong *FieldError
		if !errors.As(err, &wrong) || wrong.Field != test.field {
			t.Errorf("%s: %v, want %s", name, err, test.field)
		}
	}
	if p := read(t, Text{Interval: "48h"}); p.Grace != DefaultGrace || p.Hold != DefaultGrace {
		t.Errorf("%+v", p)
	}
}
