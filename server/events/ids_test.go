package events

import (
	"strings"
	"testing"
	"time"
)

func TestEventIDsSortByTime(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	last := ""
	for range 1000 {
		id := newEventID(at)
		rest, ok := strings.CutPrefix(id, "evt_")
		if !ok || len(rest) != 26 || strings.Trim(rest, crockford) != "" || rest[0] > '7' {
			t.Fatalf("id %s", id)
		}
		if id <= last {
			t.Fatalf("%s after %s", id, last)
		}
		last, at = id, at.Add(time.Millisecond)
	}
}

// TestEventIDIsAULID: the time of an id can be read as that of a ULID (01ARYZ6S41 is 1469918176385).
func TestEventIDIsAULID(t *testing.T) {
	if id := newEventID(time.UnixMilli(1469918176385)); !strings.HasPrefix(id, "evt_01ARYZ6S41") {
		t.Errorf("id %s", id)
	}
}

func TestSpelled(t *testing.T) {
	if got := spelled([]byte{0x00, 0x44, 0x32, 0x14, 0xc7}, lower, 8); got != "abcdefgh" {
		t.Errorf("spelled %s", got)
	}
}

func TestSubscriptionIDs(t *testing.T) {
	seen := map[string]bool{}
	for range 1000 {
		id := newSubscriptionID()
		if !isSubscriptionID(id) || seen[id] {
			t.Fatalf("id %s", id)
		}
		seen[id] = true
	}
	for _, s := range []string{"", "sub_", "sub_abc", "evt_" + strings.Repeat("a", 24), "sub_" + strings.Repeat("A", 24), "sub_" + strings.Repeat("a", 23) + "'"} {
		if isSubscriptionID(s) {
			t.Errorf("%q passes", s)
		}
	}
}

func TestCatalogueEntriesAreKnown(t *testing.T) {
	for _, name := range append(catalogue(), "*", "secret.*", "dynamic.*", "dynamic.lease.*") {
		if !known(name) {
			t.Errorf("%s is not known", name)
		}
	}
	for _, name := range []string{"", "secret", "secret.", "secret*", "secret.**", "Secret.*", "nothing.*", "*.created", "secret.created.*"} {
		if known(name) {
			t.Errorf("%s is known", name)
		}
	}
}
