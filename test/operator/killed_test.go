package operator_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"github.com/scailabs/scaivault/test/operator"
)

// step is one request that the operator makes in a phase: the first, second … of its kind.
type step struct {
	server string // API or vault
	call   string // with NAME, NS and ID for what differs between lives
	nth    int
}

func (s step) String() string { return fmt.Sprintf("%s %s (%d)", s.server, s.call, s.nth) }

// moment is a step, before or after the server did it.
type moment struct {
	step
	after bool
}

// The operator is killed at each request that it makes in the life of a VaultPolicy and a VaultSecret, to the API
// server and to the vault: before the server sees the request, and after the server did what it asks but before the
// operator learns of it. Started again, it comes to the right end: the Secret holds the newest version, nothing is
// made twice, consumers are restarted once, and nothing that it owned remains. Which requests there are is found out
// by living twice undisturbed.
func TestKilledAtEveryStep(t *testing.T) {
	w := running(t)
	secrets := w.watch(&corev1.SecretList{})
	for _, c := range courses() {
		w.killedIn(c)
	}
	w.nothingOwned(w.ns)
	for name, n := range secrets.made() {
		want := 1
		if strings.HasPrefix(name, kindAlone) && strings.HasSuffix(name, "-renamed") {
			want = 2 // a Secret of another type is another Secret
		}
		if n != want {
			t.Errorf("Secret %s was made %d times, want %d", name, n, want)
		}
	}
	if n := w.subscriptions(); n != 1 {
		t.Errorf("the operator left %d subscriptions in the vault, want 1", n)
	}
}

// killedIn lives a course as often as it takes to be killed once at each moment, once in each phase of a life.
func (w *world) killedIn(c course) {
	w.Helper()
	moments := w.moments(c)
	missed := make([][]moment, len(moments))
	for n := range longest(moments) {
		l := w.life(c, fmt.Sprintf("%02d", n))
		for i, p := range c.phases {
			if m, ok := at(moments[i], n); !l.undergo(p, m, ok) {
				missed[i] = append(missed[i], m)
			}
		}
	}
	for i := range c.phases {
		for n, m := range missed[i] {
			w.killedOnce(w.life(c, fmt.Sprintf("again-%d-%02d", i, n)), i, m)
		}
	}
}

// missing is how long a request is waited for that may have become needless by an earlier kill.
const missing = 5 * time.Second

// killedOnce lives a life with one kill, in phase i. Only a repetition may fail to come: a write that met a newer
// object is repeated, by chance.
func (w *world) killedOnce(l *life, i int, m moment) {
	w.Helper()
	for k, p := range l.phases {
		if !l.undergo(p, m, k == i) && m.nth == 1 {
			w.Fatalf("%s: %s: the request %s was not made", l.name, p.name, m.step)
		}
	}
}

func longest(moments [][]moment) int {
	n := 0
	for _, m := range moments {
		n = max(n, len(m))
	}
	return n
}

func at(moments []moment, n int) (moment, bool) {
	if n >= len(moments) {
		return moment{}, false
	}
	return moments[n], true
}

// undergo lives a phase, and is killed at a moment of it if that is asked. It tells whether that moment came.
func (l *life) undergo(p phase, m moment, kill bool) bool {
	l.Helper()
	if p.arrange != nil {
		p.arrange(l)
	}
	came := true
	if kill {
		killed := l.gate(m.server).Trap(m.after, l.nth(m.step), l.operator.Kill)
		p.begin(l)
		if came = l.fell(m, killed); came {
			l.operator.Start()
		}
		l.Logf("%s: %s: %s, after it %t: killed %t", l.name, p.name, m.step, m.after, came)
	} else {
		p.begin(l)
	}
	p.end(l)
	return came
}

// fell waits until the operator is killed.
func (l *life) fell(m moment, killed <-chan operator.Call) bool {
	limit := time.NewTimer(missing)
	defer limit.Stop()
	select {
	case <-killed:
		return true
	case <-limit.C:
	}
	if l.gate(m.server).Disarm() {
		return false
	}
	<-killed
	return true
}

func (w *world) gate(server string) *operator.Gate {
	if server == "API" {
		return w.api
	}
	return w.wire
}

// nth matches the nth request of a kind from now on.
func (l *life) nth(s step) func(operator.Call) bool {
	seen := 0
	return func(c operator.Call) bool {
		if l.describe(c) == s.call {
			seen++
		}
		return seen == s.nth
	}
}

var ids = regexp.MustCompile(`/(pol|bnd|bind|sub)_[A-Za-z0-9_-]+`)

func (l *life) describe(c operator.Call) string {
	path := strings.NewReplacer(l.name, "NAME", l.ns, "NS").Replace(c.Path)
	return c.Method + " " + ids.ReplaceAllString(path, "/ID")
}

// moments finds the moments of each phase. A request that was made in one of two lives only hung on chance.
func (w *world) moments(c course) [][]moment {
	w.Helper()
	var all [][]moment
	first, second := w.rehearse(w.life(c, "rehearsal-a")), w.rehearse(w.life(c, "rehearsal-b"))
	for i, p := range c.phases {
		var both []moment
		for _, s := range first[i] {
			if p.quiet || !slices.Contains(second[i], s) {
				continue
			}
			both = append(both, moment{step: s})
			if !strings.HasPrefix(s.call, "GET ") { // after a request that changes nothing is before the next
				both = append(both, moment{step: s, after: true})
			}
		}
		w.Logf("%s: %s: %v", c.kind, p.name, both)
		if len(both) < 3 && !p.quiet {
			w.Fatalf("%s: only the requests %v were seen", p.name, both)
		}
		all = append(all, both)
	}
	return all
}

// rehearse lives undisturbed and returns the requests of each phase.
func (w *world) rehearse(l *life) [][]step {
	w.Helper()
	var all [][]step
	for _, p := range l.phases {
		if p.arrange != nil {
			p.arrange(l)
		}
		w.forgetCalls()
		p.begin(l)
		p.end(l)
		all = append(all, append(l.steps("API", p), l.steps("vault", p)...))
	}
	return all
}

// steps are the requests made since forgetCalls, without those that come by the clock: polls, looks at who the vault
// is, and looks at a policy some time after it changed. A start always has them.
func (l *life) steps(server string, p phase) []step {
	seen := map[string]int{}
	for _, c := range l.gate(server).Calls(func(c operator.Call) bool {
		guard := c.Path == "/v1/version" || strings.HasSuffix(c.Path, "/scaivault-vault-pin")
		echo := strings.HasPrefix(c.Path, "/v1/policies") && !p.policy
		return c.Method != "WATCH" && !strings.HasSuffix(c.Path, "/poll") && (p.cold || !guard && !echo)
	}) {
		seen[l.describe(c)]++
	}
	var out []step
	for _, call := range slices.Sorted(maps.Keys(seen)) {
		for n := range seen[call] {
			out = append(out, step{server, call, n + 1})
		}
	}
	return out
}

// The operator is killed when it has written a Secret and told nobody, and then the target is renamed, so that nothing
// names that Secret any more. It is found, and given up; what others have in it stays.
func TestRenamedOnceMoreAfterAKill(t *testing.T) {
	w := running(t)
	for _, c := range courses()[:2] {
		l := w.life(c, "twice")
		l.arrive()
		l.permit()
		l.permitted()
		killed := w.api.Trap(true, writesSecrets, w.operator.Kill)
		l.ask() // its first Secret is written, and no status
		w.caught("the first write", killed)
		l.rename()
		w.operator.Start()
		l.served()
		killed = w.api.Trap(true, writesSecrets, w.operator.Kill)
		l.write()
		w.caught("a write under the second name", killed)
		l.target.Name = l.name
		w.change(l.name, target(l.target)) // and back again
		w.operator.Start()
		l.served()
		killed = w.api.Trap(true, writesSecrets, w.operator.Kill)
		l.rename()
		w.caught("a write under the second name", killed)
		l.leave()
		w.operator.Start()
		l.left()
		w.remove(l.grant)
	}
	w.nothingOwned(w.ns)
}
