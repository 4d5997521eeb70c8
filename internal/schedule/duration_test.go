package schedule

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestParseDuration(t *testing.T) {
	const day = 24 * time.Hour
	for in, want := range map[string]time.Duration{
		"15m": 15 * time.Minute, "1h": time.Hour, "48h": 48 * time.Hour, "720h": 720 * time.Hour,
		"1d": day, "90d": 90 * day, "2w": 14 * day, "1s": time.Second, "0001s": time.Second,
		"1h30m": 90 * time.Minute, "1h0m0s": time.Hour, "0h5s": 5 * time.Second,
		"1w2d3h4m5s":  9*day + 3*time.Hour + 4*time.Minute + 5*time.Second,
		"9223372036s": 9223372036 * time.Second,
	} {
		if got, err := ParseDuration(in); err != nil || got != want {
			t.Errorf("%s: %v, %v", in, got, err)
		}
	}
}

func TestParseDurationErrors(t *testing.T) {
	for _, tc := range []struct {
		in       string
		position int
		rule     string
	}{
		{"", 0, "number and a unit"},
		{"15", 2, "expected a unit"},
		{"m", 0, "expected a digit"},
		{"-1h", 0, "expected a digit"},
		{"+1h", 0, "expected a digit"},
		{" 1h", 0, "expected a digit"},
		{"1h ", 2, "expected a digit"},
		{"1 h", 1, "expected a unit"},
		{"1.5h", 1, "fractions"},
		{"1h1", 3, "expected a unit"},
		{"30m1h", 4, "longest to the shortest"},
		{"1h1h", 3, "longest to the shortest"},
		{"1H", 1, "expected a unit"},
		{"5ms", 2, "expected a digit"},
		{"1y", 1, "expected a unit"},
		{"0s", 0, "positive"},
		{"0h0m", 0, "positive"},
		{"9223372037s", 0, "too long"},
		{"99999999999999999999d", 18, "too large"},
		{"15250w9999999999s", 6, "too long"},
		{"15250w9000000s", 14, "too long"},
		{strings.Repeat("1", 60), 19, "too large"},
	} {
		_, err := ParseDuration(tc.in)
		var de *DurationError
		if !errors.As(err, &de) {
			t.Errorf("%q: %v", tc.in, err)
			continue
		}
		if de.Code != "invalid_duration" || de.Position != tc.position || !strings.Contains(de.Rule, tc.rule) || len(de.Value) > 32 {
			t.Errorf("%q: %+v", tc.in, de)
		}
	}
}

var grammar = regexp.MustCompile(`^([0-9]+w)?([0-9]+d)?([0-9]+h)?([0-9]+m)?([0-9]+s)?$`)

func FuzzParseDuration(f *testing.F) {
	for _, seed := range []string{"", "1h", "90d", "1h30m", "0s", "1.5h", "-1h", "9223372037s", "2w3d", "1h1h"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDuration(s)
		if err != nil {
			var de *DurationError
			if !errors.As(err, &de) || de.Position < 0 || de.Position > len(s) {
				t.Fatalf("%q: %#v", s, err)
			}
			if plain, goErr := time.ParseDuration(s); goErr == nil && plain > 0 && grammar.MatchString(s) {
				t.Fatalf("%q is refused: %v", s, err)
			}
			return
		}
		if d <= 0 || !grammar.MatchString(s) {
			t.Fatalf("%q is read as %v", s, d)
		}
		if plain, goErr := time.ParseDuration(s); goErr == nil && plain != d {
			t.Fatalf("%q is read as %v, Go reads %v", s, d, plain)
		}
		if again, err := ParseDuration(d.String()); err != nil || again != d {
			t.Fatalf("%q is %v, which is read as %v, %v", s, d, again, err)
		}
	})
}
