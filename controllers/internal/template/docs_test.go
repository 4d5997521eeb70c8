package template

import (
	"os"
	"strings"
	"testing"
	"time"
)

// The page tells of every function, and of none that is not allowed.
func TestPageTellsOfEveryFunction(t *testing.T) {
	raw, err := os.ReadFile("../../../docs/spec/vaultsecret.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), "\n### Templates\n")
	page, _, found := strings.Cut(rest, "\n## ")
	if !found {
		t.Fatal("there is no section about templates")
	}
	list, _, _ := strings.Cut(page, ". None reads")
	ours := (&budget{now: time.Now}).functions()
	told := map[string]bool{}
	for i, word := range strings.Split(list, "`") {
		if name := word; i%2 == 1 && name != "text/template" {
			told[name] = true
			if !allowed(name, ours) {
				t.Errorf("%s is told of and not allowed", name)
			}
		}
	}
	for _, name := range []string{"and", "or", "not", "index", "slice", "len"} {
		ours[name] = nil
	}
	delete(ours, stepFunc)
	for name := range ours {
		if !told[name] {
			t.Errorf("%s is allowed and not told of", name)
		}
	}
}
