package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/vault"
)

// outcomes is what became of writes, by path and value.
type outcomes struct {
	mu     sync.Mutex
	acked  map[string]int64  // request id: version
	paths  map[string]string // request id: path
	failed map[string]bool   // request id of a 503
}

func newOutcomes() *outcomes {
	return &outcomes{acked: map[string]int64{}, paths: map[string]string{}, failed: map[string]bool{}}
}

// write writes id to path and remembers the answer.
func (o *outcomes) write(ctx context.Context, c vault.Caller, path, id string) vault.Answer {
	got := c.Try(vault.Request{
		Method: "PUT", Path: "/v1/secrets/" + path, Body: object{"data": object{"v": id}, "options": object{"max_versions": 100}},
		Header: map[string]string{"X-Request-ID": id}, Context: ctx,
	})
	o.note(c, got, path, id)
	return got
}

// note remembers an answer and tells whether it acknowledged the write.
func (o *outcomes) note(c vault.Caller, got vault.Answer, path, id string) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.paths[id] = path
	switch {
	case got.Err != nil:
	case got.Status/100 == 2:
		var info vaultapi.SecretInfo
		if err := json.Unmarshal(got.Body, &info); err != nil {
			c.TB.Errorf("%s: %s: %v", id, got.Body, err)
		}
		o.acked[id] = info.Version
		return true
	case got.Status == http.StatusServiceUnavailable && got.Code() == "service_unavailable":
		o.failed[id] = true
	default:
		c.TB.Errorf("%s: %d %s", id, got.Status, got.Body)
	}
	return false
}

// check compares what was acknowledged with versions, audit entries and events, which must hold exactly that.
func (o *outcomes) check(c vault.Caller, sub string) {
	c.TB.Helper()
	byPath := map[string][]string{}
	for id := range o.acked {
		byPath[o.paths[id]] = append(byPath[o.paths[id]], id)
	}
	for path, ids := range byPath {
		slices.SortFunc(ids, func(a, b string) int { return int(o.acked[a] - o.acked[b]) })
		for i, id := range ids {
			if o.acked[id] != int64(i+1) {
				c.TB.Errorf("%s: acknowledged version %d is number %d", path, o.acked[id], i+1)
			}
			o.value(c, path, id)
		}
		if got := c.Do(vault.Request{Path: fmt.Sprintf("/v1/secrets/%s?version=%d", path, len(ids)+1)}); got.Code() != "version_not_found" {
			c.TB.Errorf("%s: %d acknowledged, and one more: %d", path, len(ids), got.Status)
		}
	}
	if d := difference(o.acked, recorded(c)); d != "" {
		c.TB.Errorf("audit entries of writes: %s", d)
	}
	if d := difference(o.acked, announced(c, sub, len(o.acked))); d != "" {
		c.TB.Errorf("events: %s", d)
	}
}

func (o *outcomes) value(c vault.Caller, path, id string) {
	c.TB.Helper()
	var secret struct {
		Data map[string]string `json:"data"`
	}
	got := c.Do(vault.Request{Path: fmt.Sprintf("/v1/secrets/%s?version=%d", path, o.acked[id])})
	if got.Status != http.StatusOK {
		c.TB.Errorf("%s version %d: %d %s", path, o.acked[id], got.Status, got.Body)
		return
	}
	if got.Into(c.TB, &secret); secret.Data["v"] != id {
		c.TB.Errorf("%s version %d holds %q, acknowledged was %q", path, o.acked[id], secret.Data["v"], id)
	}
}

// difference names up to three of those that are in only one of two sets.
func difference(want map[string]int64, got map[string]int) string {
	var missing, extra, twice []string
	for id := range want {
		if got[id] == 0 {
			missing = append(missing, id)
		}
	}
	for id, n := range got {
		if _, ok := want[id]; !ok {
			extra = append(extra, id)
		}
		if n > 1 {
			twice = append(twice, id)
		}
	}
	if len(missing)+len(extra)+len(twice) == 0 {
		return ""
	}
	few := func(s []string) string { return fmt.Sprint(len(s), s[:min(3, len(s))]) }
	return "missing " + few(missing) + ", unasked " + few(extra) + ", twice " + few(twice)
}

// recorded counts the entries of successful writes by request id.
func recorded(c vault.Caller) map[string]int {
	c.TB.Helper()
	found, cursor := map[string]int{}, ""
	for {
		var page vaultapi.AuditList
		c.Must(vault.Request{Path: "/v1/audit/logs?action=write&success=true&limit=1000&cursor=" + cursor}, &page)
		for _, e := range page.Logs {
			found[e.RequestID]++
		}
		if !page.HasMore {
			return found
		}
		cursor = *page.Cursor
	}
}

// announced reads a subscription from its beginning until it has seen so many events, and then whether there
// are more.
func announced(c vault.Caller, sub string, want int) map[string]int {
	c.TB.Helper()
	found, since, n := map[string]int{}, "", 0
	c.Eventually(fmt.Sprintf("%d events", want), func() bool {
		var page vaultapi.Poll
		c.Must(vault.Request{Path: "/v1/subscriptions/" + sub + "/poll?timeout=1&max_events=1000&since_event_id=" + since}, &page)
		if page.Gap {
			c.TB.Fatalf("a gap after %d events", n)
		}
		for _, e := range page.Events {
			found[e.RequestID]++
			since = e.EventID
			n++
		}
		return n >= want && len(page.Events) == 0
	})
	return found
}

// subscribe follows every secret.
func subscribe(c vault.Caller) string {
	c.TB.Helper()
	var sub vaultapi.Subscription
	c.Must(vault.Request{Method: "POST", Path: "/v1/subscriptions", Body: object{
		"name": "all", "paths": []string{"**"}, "events": []string{"secret.*"}, "delivery": object{"type": "polling", "buffer_size": 100_000},
	}}, &sub)
	return sub.ID
}

// TestCommitsFailUnderLoad has every third commit fail under 32 writers. A failing batch is tried again call by
// call, so some callers get their answer and some a 503; versions, audit entries and events must hold exactly the
// writes that were acknowledged, in unbroken numbers.
func TestCommitsFailUnderLoad(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		sub := subscribe(s.Caller)
		var commits atomic.Int64
		s.Commits(func() error {
			if commits.Add(1)%3 == 0 {
				return fmt.Errorf("injected at commit %d", commits.Load())
			}
			return nil
		})
		o := newOutcomes()
		storm(s.Caller, o, 32, 25)
		s.Succeed()
		if len(o.failed) == 0 || len(o.acked) == 0 {
			t.Fatalf("%d writes failed and %d did not: nothing is shown", len(o.failed), len(o.acked))
		}
		t.Logf("%d acknowledged, %d refused, %d commits", len(o.acked), len(o.failed), commits.Load())
		o.check(s.Caller, sub)
		verified(t, s, int64(len(o.acked)))
	})
}

// storm has writers write, each so often, to ten paths.
func storm(c vault.Caller, o *outcomes, writers, each int) {
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range each {
				o.write(context.Background(), c, fmt.Sprintf("storm/p%d", (w+i)%10), fmt.Sprintf("w%d-%d", w, i))
			}
		})
	}
	wg.Wait()
}

// TestOneOfFiftyIsCancelled holds the server's one writer while 50 calls queue, has one client leave, and goes on:
// the batch takes the other 49, and of the one nothing is left behind. A client that leaves when its write has
// begun is written all the same, and so are the 49 beside it.
func TestOneOfFiftyIsCancelled(t *testing.T) {
	vault.Each(t, func(t *testing.T, s *vault.Composed) {
		sub := subscribe(s.Caller)
		o := newOutcomes()
		o.write(context.Background(), s.Caller, "cancel/first", "first") // makes the tenant's key
		for _, begun := range []bool{false, true} {
			c := cancelling{s: s, o: o, begun: begun}
			c.run()
		}
		for i := range 50 {
			for _, id := range []string{fmt.Sprintf("queued-%d", i), fmt.Sprintf("begun-%d", i)} {
				if _, ok := o.acked[id]; !ok && i != 17 {
					t.Errorf("%s was not acknowledged", id)
				}
			}
		}
		// Whoever left in time has no value; whoever left late has one and does not know.
		kept := recorded(s.Caller)
		if kept["queued-17"] != 0 || kept["begun-17"] != 1 {
			t.Errorf("recorded: the one that left before %d times, the one that left late %d times", kept["queued-17"], kept["begun-17"])
		}
		if got := s.Do(vault.Request{Path: "/v1/secrets/cancel/queued-17"}); got.Status != http.StatusNotFound {
			t.Errorf("the write that was called off: %d %s", got.Status, got.Body)
		}
		s.Must(vault.Request{Path: "/v1/secrets/cancel/begun-17"}, nil)
		o.acked["begun-17"], o.paths["begun-17"] = 1, "cancel/begun-17"
		o.check(s.Caller, sub)
		verified(t, s, int64(len(o.acked)))
	})
}

// cancelling is 50 writers of which number 17 leaves.
type cancelling struct {
	s     *vault.Composed
	o     *outcomes
	begun bool // it leaves when its write has begun, not while it waits for that
	held  atomic.Int64
}

func (c *cancelling) run() {
	prefix := "queued"
	if c.begun {
		prefix = "begun"
	}
	var wg sync.WaitGroup
	first, second := make(chan struct{}), make(chan struct{})
	open, openSecond := sync.OnceFunc(func() { close(first) }), sync.OnceFunc(func() { close(second) })
	defer openSecond()
	defer open()
	// The writer is busy with a commit before the fifty come.
	c.s.Commits(c.hold(first))
	wg.Go(func() { c.o.write(context.Background(), c.s.Caller, "cancel/"+prefix+"-holder", prefix+"-holder") })
	c.s.Eventually("the writer is held", func() bool { return c.held.Load() > 0 })
	ctx, leave := context.WithCancel(context.Background())
	defer leave()
	for i := range 50 {
		wg.Go(func() {
			id, own := fmt.Sprintf("%s-%d", prefix, i), context.Background()
			if i == 17 {
				own = ctx
			}
			c.o.write(own, c.s.Caller, "cancel/"+id, id)
		})
	}
	c.s.Eventually("fifty wait for the writer", func() bool { return c.metric("scaivault_db_write_queue_depth") >= 50 })
	active := c.metric(`scaivault_active_requests{path_category="secrets"}`)
	c.s.Commits(c.hold(second))
	if c.begun {
		open()
		// The next batch is at its commit, and takes more than fifty. Jobs of the server may queue behind it.
		c.s.Eventually("all have begun", func() bool { return c.held.Load() > 1 })
		leave()
	} else {
		leave()
		c.s.Eventually("the server saw the client leave", func() bool {
			return c.metric(`scaivault_active_requests{path_category="secrets"}`) < active
		})
		open()
	}
	openSecond()
	wg.Wait()
	c.s.Succeed()
}

func (c *cancelling) hold(gate <-chan struct{}) func() error {
	return func() error { c.held.Add(1); <-gate; return nil }
}

// metric is a gauge's value.
func (c *cancelling) metric(name string) int64 {
	for line := range strings.SplitSeq(string(c.s.Must(vault.Request{Path: "/v1/metrics", Anonymous: true}, nil).Body), "\n") {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(value, 64)
			if err != nil {
				c.s.TB.Fatal(err)
			}
			return int64(n)
		}
	}
	return -1
}
