package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/scailabs/scaivault/internal/console"
)

func TestMoments(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	for in, want := range map[string]time.Time{
		"":                     {},
		"24h":                  now.Add(-24 * time.Hour),
		"7d":                   now.Add(-7 * 24 * time.Hour),
		"2026-01-01":           time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC),
		"2026-01-01T10:00:00Z": time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC),
	} {
		if got, err := moment("--from", in, now); err != nil || !got.Equal(want) {
			t.Errorf("%q: %v, %v, want %v", in, got, err, want)
		}
	}
	for _, in := range []string{"yesterday", "-1h", "24", "2026-13-01"} {
		if _, err := moment("--from", in, now); console.ExitCode(err) != console.Validation {
			t.Errorf("%q: %v", in, err)
		}
	}
}

func TestCollectFollowsCursors(t *testing.T) {
	data := make([]int, 2500)
	for i := range data {
		data[i] = i
	}
	for _, tc := range []struct {
		limit, want int
		more        bool
		calls       int
	}{{1, 1, true, 1}, {1000, 1000, true, 1}, {1500, 1500, true, 2}, {2500, 2500, false, 3}, {9000, 2500, false, 3}} {
		calls := 0
		got, cursor, err := collect(tc.limit, func(size int, cursor string) ([]int, *string, error) {
			calls++
			from := 0
			if cursor != "" {
				if _, err := fmt.Sscan(cursor, &from); err != nil {
					return nil, nil, err
				}
			}
			to := min(from+size, len(data))
			if to == len(data) {
				return data[from:to], nil, nil
			}
			next := fmt.Sprint(to)
			return data[from:to], &next, nil
		})
		if err != nil || len(got) != tc.want || (cursor != nil) != tc.more || calls != tc.calls {
			t.Errorf("limit %d: %d items, more %v, %d calls, %v", tc.limit, len(got), cursor != nil, calls, err)
		}
	}
	if _, _, err := collect(0, func(int, string) ([]int, *string, error) { return nil, nil, nil }); console.ExitCode(err) != console.Validation {
		t.Errorf("limit 0: %v", err)
	}
}
