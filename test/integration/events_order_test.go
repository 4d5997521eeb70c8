package integration

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/vault"
)

const (
	orderWriters = 32
	orderPaths   = 100
	orderEach    = 40 // writes of each writer

	// restored is not counted: a call to restore what is not deleted succeeds and changes nothing. A restoration
	// that is missing shows in what follows on its path.
	restored = "secret.restored"
)

type object = map[string]any

// TestEventsComeOnceAndInOrder has 32 writers change 100 paths at once, in every way a secret can change, while
// three readers follow from the start: one by event id, one by acknowledging, and one that reads single events
// after all is over. Each sees every change exactly once, and the changes of one path in their order.
func TestEventsComeOnceAndInOrder(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		byID, byAck, late := follow(s.Caller), follow(s.Caller), follow(s.Caller)
		var writing sync.WaitGroup
		var changes atomic.Int64
		for w := range orderWriters {
			writing.Go(func() { changes.Add(change(s.Caller, w)) })
		}
		var over atomic.Bool
		var reading sync.WaitGroup
		reading.Go(func() { byID.read(&over, &changes) })
		reading.Go(func() { byAck.acks = true; byAck.read(&over, &changes) })
		writing.Wait()
		over.Store(true)
		reading.Wait()
		late.read(&over, &changes)
		t.Logf("%d changes", changes.Load())
		for name, f := range map[string]*follower{"by event id": byID, "by acknowledging": byAck, "late": late} {
			f.check(name, changes.Load())
		}
		if a, b := byID.sequence(), late.sequence(); a != b {
			t.Error("two readers saw different orders")
		}
	})
}

// change makes one writer's changes and counts those that were made.
func change(c vault.Caller, w int) (made int64) {
	for i := range orderEach {
		path := fmt.Sprintf("/v1/secrets/order/p%d", (w/4*7+i*13)%orderPaths) // four writers at once on each
		for _, r := range mix(path, i) {
			got := c.Try(r)
			switch {
			case got.Err != nil:
				c.TB.Errorf("%s %s: %v", r.Method, r.Path, got.Err)
			case got.Status/100 == 2 && r.Method != http.MethodPost:
				made++
			case got.Status/100 == 2:
			case got.Status != http.StatusNotFound && got.Status != http.StatusConflict: // others were faster
				c.TB.Errorf("%s %s: %d %s", r.Method, r.Path, got.Status, got.Body)
			}
		}
	}
	return made
}

// mix is mostly writes, and now and then every other change.
func mix(path string, i int) []vault.Request {
	write := vault.Request{Method: "PUT", Path: path, Body: object{"data": object{"i": i}}}
	switch i % 10 {
	case 7:
		return []vault.Request{write, {Method: "PATCH", Path: path + "/metadata", Body: object{"metadata": object{"i": i}}}}
	case 8:
		return []vault.Request{{Method: "DELETE", Path: path}, {Method: "POST", Path: path + "/restore"}}
	case 9:
		return []vault.Request{{Method: "DELETE", Path: path + "?permanent=true"}, write}
	}
	return []vault.Request{write}
}

// follower is a reader with a subscription of its own.
type follower struct {
	c      vault.Caller
	sub    string
	acks   bool // goes by acknowledgements instead of event ids
	since  string
	events []vaultapi.Event
	ids    map[string]bool
}

func follow(c vault.Caller) *follower {
	c.TB.Helper()
	var sub vaultapi.Subscription
	c.Must(vault.Request{Method: "POST", Path: "/v1/subscriptions", Body: object{
		"name": "order", "paths": []string{"order/**"}, "events": []string{}, "delivery": object{"type": "polling", "buffer_size": 100_000},
	}}, &sub)
	return &follower{c: c, sub: sub.ID, ids: map[string]bool{}}
}

// read reads until the writers are through, every change was seen, and nothing more comes.
func (f *follower) read(over *atomic.Bool, changes *atomic.Int64) {
	for idle := 0; idle < 20; {
		through := over.Load()
		got := f.poll()
		switch {
		case got > 0:
			idle = 0
		case through && f.changes() >= changes.Load():
			return
		case through:
			idle++ // a poll waits for a second
		}
	}
}

// changes counts the events of the changes that are counted.
func (f *follower) changes() (n int64) {
	for _, e := range f.events {
		if e.EventType != restored {
			n++
		}
	}
	return n
}

func (f *follower) poll() int {
	got := f.c.Try(vault.Request{Path: "/v1/subscriptions/" + f.sub + "/poll?timeout=1&max_events=137&since_event_id=" + f.since})
	var page vaultapi.Poll
	if err := json.Unmarshal(got.Body, &page); got.Status != http.StatusOK || err != nil || page.Gap {
		f.c.TB.Errorf("poll: %d %s", got.Status, got.Body)
		return 0
	}
	var ids []string
	for _, e := range page.Events {
		if f.ids[e.EventID] {
			f.c.TB.Errorf("event %s came twice", e.EventID)
		}
		f.ids[e.EventID] = true
		ids = append(ids, e.EventID)
	}
	f.events = append(f.events, page.Events...)
	switch {
	case len(ids) == 0:
	case f.acks:
		if a := f.c.Try(vault.Request{Method: "POST", Path: "/v1/subscriptions/" + f.sub + "/ack", Body: object{"event_ids": ids}}); a.Status != http.StatusOK {
			f.c.TB.Errorf("ack: %d %s", a.Status, a.Body)
		}
	default:
		f.since = ids[len(ids)-1]
	}
	return len(ids)
}

// check follows each path's versions: a write is the next version, and a path that was deleted for good begins
// with 1 again.
func (f *follower) check(name string, changes int64) {
	t := f.c.TB
	t.Helper()
	if f.changes() != changes {
		t.Errorf("%s: %d events of %d changes", name, f.changes(), changes)
	}
	last, live := map[string]int64{}, map[string]bool{}
	for _, e := range f.events {
		var data struct {
			Version    int64 `json:"version"`
			OldVersion int64 `json:"old_version"`
			NewVersion int64 `json:"new_version"`
			Permanent  bool  `json:"permanent"`
		}
		if err := json.Unmarshal(e.Data, &data); err != nil {
			t.Fatalf("%s: %v", e.Data, err)
		}
		switch e.EventType {
		case "secret.created":
			if last[e.Path] != 0 || data.Version != 1 {
				t.Errorf("%s: %s: made as version %d after version %d", name, e.Path, data.Version, last[e.Path])
			}
			last[e.Path], live[e.Path] = 1, true
		case "secret.updated":
			if data.OldVersion != last[e.Path] || data.NewVersion != last[e.Path]+1 || !live[e.Path] {
				t.Errorf("%s: %s: from version %d to %d after version %d", name, e.Path, data.OldVersion, data.NewVersion, last[e.Path])
			}
			last[e.Path] = data.NewVersion
		case "secret.deleted":
			if last[e.Path] == 0 {
				t.Errorf("%s: %s: deleted before it was made", name, e.Path)
			}
			live[e.Path] = false
			if data.Permanent {
				last[e.Path] = 0
			}
		case restored:
			if live[e.Path] || last[e.Path] == 0 || data.Version != last[e.Path] {
				t.Errorf("%s: %s: restored without having been deleted", name, e.Path)
			}
			live[e.Path] = true
		case "secret.metadata_updated":
			if !live[e.Path] {
				t.Errorf("%s: %s: metadata of nothing", name, e.Path)
			}
		default:
			t.Errorf("%s: %s: %s", name, e.Path, e.EventType)
		}
	}
}

// sequence is the order that was seen.
func (f *follower) sequence() string {
	var b []byte
	for _, e := range f.events {
		b = append(b, e.EventID...)
	}
	return string(b)
}
