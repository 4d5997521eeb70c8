package schedule

import (
	"errors"
	"testing"
	"time"
)

func at(tb testing.TB, text string) time.Time {
	tb.Helper()
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

func TestCronNext(t *testing.T) {
	for _, test := range []struct{ name, cron, zone, after, want string }{
		{"plain", "0 3 * * 6", "", "2026-03-01T12:00:00Z", "2026-03-07T03:00:00Z"},
		{"strictly after", "0 3 * * 6", "", "2026-03-07T03:00:00Z", "2026-03-14T03:00:00Z"},
		{"zone", "0 3 * * 6", "Europe/Amsterdam", "2026-03-01T12:00:00Z", "2026-03-07T02:00:00Z"},
		{"zone in summer", "0 3 * * 6", "Europe/Amsterdam", "2026-06-01T12:00:00Z", "2026-06-06T01:00:00Z"},
		{"either day", "0 0 13 * 5", "", "2026-03-01T00:00:00Z", "2026-03-06T00:00:00Z"},
		// On 2026-03-29 Amsterdam's clocks jump from 02:00 to 03:00 (01:00Z).
		{"a slot that is jumped over comes when the clocks jump", "30 2 * * *", "Europe/Amsterdam", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"and once", "30 2 * * *", "Europe/Amsterdam", "2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"},
		{"a weekly slot is not lost with it", "30 2 * * 0", "Europe/Amsterdam", "2026-03-28T12:00:00Z", "2026-03-29T01:00:00Z"},
		{"two slots at the jump are one", "0,30 2 * * *", "Europe/Amsterdam", "2026-03-29T01:00:00Z", "2026-03-30T00:00:00Z"},
		{"the slot after the jump", "0 3 * * *", "Europe/Amsterdam", "2026-03-29T00:59:59Z", "2026-03-29T01:00:00Z"},
		// On 2026-10-25 they go back from 03:00 to 02:00 (01:00Z).
		{"a slot that comes twice is the first", "30 2 * * *", "Europe/Amsterdam", "2026-10-24T12:00:00Z", "2026-10-25T00:30:00Z"},
		{"and not the second", "30 2 * * *", "Europe/Amsterdam", "2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"},
		{"between the two", "30 2 * * *", "Europe/Amsterdam", "2026-10-25T01:10:00Z", "2026-10-26T01:30:00Z"},
		// Lord Howe's clocks jump by half an hour: on 2026-10-04 from 02:00 to 02:30 (15:30Z the day before).
		{"half an hour", "15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z", "2026-10-03T15:30:00Z"},
		// Samoa had no 2011-12-30: its clocks jumped over a whole day (10:00Z).
		{"a whole day", "0 12 30 12 *", "Pacific/Apia", "2011-12-30T00:00:00Z", "2011-12-30T10:00:00Z"},
		{"leap day", "0 0 29 2 *", "", "2026-03-01T00:00:00Z", "2028-02-29T00:00:00Z"},
		{"eight years without one", "0 0 29 2 *", "", "2096-03-01T00:00:00Z", "2104-02-29T00:00:00Z"},
	} {
		c, err := ParseCron(test.cron, test.zone)
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
			continue
		}
		if got := c.Next(at(t, test.after)); !got.Equal(at(t, test.want)) {
			t.Errorf("%s: after %s comes %s, want %s", test.name, test.after, got.Format(time.RFC3339), test.want)
		}
	}
}

func TestCronRefused(t *testing.T) {
	for text, zone := range map[string]string{
		"": "", "* * * *": "", "* * * * * *": "", "60 * * * *": "", "0 24 * * *": "", "0 0 0 * *": "", "0 0 32 1 *": "", "*/0 * * * *": "",
		"0 0 30 2 *": "", "0 0 31 2,4,6,9,11 *": "", "@daily": "", "@every 1s": "", "TZ=UTC 0 3 * * *": "", "TZ=0": "", "CRON_TZ=UTC 0 3 * * 6": "",
		"0 3 * * mondays": "", "0 3 * * 6\n": "", "0 3 * * 6": "Mars/Olympus", "0 4 * * 6": "Local", "0 5 * * 6": "../../etc/passwd",
	} {
		_, err := ParseCron(text, zone)
		var wrong *CronError
		if !errors.As(err, &wrong) {
			t.Errorf("%q in zone %q: %v", text, zone, err)
		}
	}
}

// FuzzCron: whatever is accepted has a next slot, and slots go forward.
func FuzzCron(f *testing.F) {
	for _, text := range []string{"0 3 * * 6", "*/5 1-4 1,15 jan-mar mon", "0 0 29 2 *", "? ? ? ? ?", "TZ=0", "0 0 30 2 *", "1-59/7 * * * 7"} {
		f.Add(text, int64(1_774_746_000))
	}
	f.Fuzz(func(t *testing.T, text string, seconds int64) {
		c, err := ParseCron(text, "Europe/Amsterdam")
		if err != nil {
			return
		}
		last := time.Unix(seconds%4_000_000_000, 0)
		for range 5 {
			next := c.Next(last)
			if !next.After(last) {
				t.Fatalf("%q: after %s comes %s", text, last, next)
			}
			last = next
		}
	})
}
