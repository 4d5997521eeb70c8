package events

import (
	"os"
	"regexp"
	"slices"
	"testing"
)

// docs/spec/events.md lists every event of the catalogue, and no other.
func TestEveryEventIsDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/spec/events.md")
	if err != nil {
		t.Fatal(err)
	}
	names := regexp.MustCompile("`((?:secret|policy|rotation|certificate|dynamic|webhook)\\.[a-z_.]+)`").FindAllStringSubmatch(string(page), -1)
	listed := map[string]bool{}
	for _, n := range names {
		listed[n[1]] = true
	}
	delete(listed, "webhook.test") // never in the log
	for name := range listed {
		if !slices.Contains(catalogue(), name) {
			t.Errorf("the page lists %s, which is no event", name)
		}
	}
	for _, name := range catalogue() {
		if !listed[name] {
			t.Errorf("the page lacks %s", name)
		}
	}
}

// The loud events are selected by their names only.
func TestSelects(t *testing.T) {
	for _, tc := range []struct {
		entries []string
		event   string
		want    bool
	}{
		{[]string{"*"}, "secret.created", true}, {[]string{"secret.*"}, "secret.created", true}, {[]string{"policy.*"}, "policy.binding.created", true},
		{[]string{"secret.created"}, "secret.created", true}, {nil, "secret.created", false}, {[]string{"policy.*"}, "secret.created", false},
		{[]string{"*"}, Accessed, false}, {[]string{"secret.*"}, Accessed, false}, {[]string{"policy.*"}, Violation, false},
		{[]string{"x", Accessed}, Accessed, true}, {[]string{Violation}, Violation, true}, {[]string{"policy.viol*"}, Violation, false},
	} {
		if got := Selects(tc.entries, tc.event); got != tc.want {
			t.Errorf("%v selects %s: %v", tc.entries, tc.event, got)
		}
	}
}
