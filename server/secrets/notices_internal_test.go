package secrets

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

func TestEncodeNotice(t *testing.T) {
	tests := map[vaultapi.Thresholds]string{
		"": "", " , ": "", "30d,7d,1d": "30d,7d,1d", "1d, 7d,30d": "30d,7d,1d", "24h,1d": "24h", "1h30m": "1h30m",
	}
	for in, want := range tests {
		if got, err := encodeNotice(in); err != nil || got != want {
			t.Errorf("%q: %q, %v, want %q", in, got, err, want)
		}
	}
	for _, in := range []vaultapi.Thresholds{"7", "0d", "-1d", "7d,soon", "1d\x00", vaultapi.Thresholds(strings.Repeat("9", 40) + "d")} {
		if _, err := encodeNotice(in); !fault.Is(err, fault.CodeInvalidDuration) || fault.From(err).Details["field"] != "options.notify_before" {
			t.Errorf("%q: %v", in, err)
		}
	}
	many := vaultapi.Thresholds(strings.TrimSuffix(strings.Repeat("1h,", mostNotices+1), ","))
	if _, err := encodeNotice(many); !fault.Is(err, fault.CodeInvalidRequest) {
		t.Errorf("%d thresholds: %v", mostNotices+1, err)
	}
}

func TestPassed(t *testing.T) {
	const day = 24 * time.Hour
	written := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	expires := written.Add(40 * day)
	all, err := notices("30d,7d,1d", expires)
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name      string
		from, now time.Duration // since it was written
		want      string        // threshold; "-": none, "": the expiry
		next      time.Duration // 0: none
	}{
		{"before all", 10 * day, 9 * day, "-", 10 * day},
		{"at the first", 10 * day, 10 * day, "30d", 33 * day},
		{"the first was said", 33 * day, 32 * day, "-", 33 * day},
		{"two passed", 10 * day, 34 * day, "7d", 39 * day},
		{"the last", 39 * day, 39*day + 1, "1d", 40 * day},
		{"all passed", 10 * day, 41 * day, "", 0},
		{"a year later", 40 * day, 400 * day, "", 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			n, next := passed(all, written.Add(test.from), written.Add(test.now))
			got, after := "-", time.Duration(0)
			if n != nil {
				got = n.threshold
			}
			if next != nil {
				after = time.UnixMicro(*next).Sub(written)
			}
			if diff := cmp.Diff([]any{test.want, test.next}, []any{got, after}); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestFirstNotice(t *testing.T) {
	const day = 24 * time.Hour
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for life, want := range map[time.Duration]time.Duration{ // before the expiry
		40 * day: 30 * day, 30 * day: 7 * day, 30*day + time.Microsecond: 30 * day, day: 0, time.Hour: 0,
	} {
		expires := now.Add(life)
		all, err := notices(defaultNotice, expires)
		if err != nil {
			t.Fatal(err)
		}
		if got := expires.Sub(time.UnixMicro(*firstNotice(all, now))); got != want {
			t.Errorf("a life of %v: first announced %v before, want %v", life, got, want)
		}
	}
}

func TestDaysRemaining(t *testing.T) {
	for left, want := range map[time.Duration]int64{
		7 * 24 * time.Hour: 7, 7*24*time.Hour - time.Millisecond: 7, 24*time.Hour + 1: 2, time.Second: 1, 0: 0,
	} {
		if got := daysRemaining(left); got != want {
			t.Errorf("%v: %d days, want %d", left, got, want)
		}
	}
}
