package generate_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/internal/generate"
)

// Whatever a template holds, it is refused with its field named, or it becomes text of bounded size
// that is the same for the same source and in which nothing is left to fill in.
func FuzzTemplate(f *testing.F) {
	for _, seed := range []string{
		"", "plain", "sk_{{random:24}}", "{{uuid}}", "{{hex:8}}{{timestamp}}", "{{", "}}", "{{}}", "{{random:}}", "{{random:0}}",
		"{{random:1025}}", "{{random:-1}}", "{{ uuid }}", "{{{{uuid}}}}", "{{random:{{hex:2}}}}", "\x00", "\xff{{uuid}}", "a}}b{{hex:1}}}",
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, template string) {
		config, err := json.Marshal(map[string]string{"template": template})
		if err != nil {
			t.Fatal(err)
		}
		r, err := generate.Parse(one("f", "template", string(config)))
		if err != nil {
			var bad *generate.Invalid
			if !errors.As(err, &bad) || bad.Fields["fields[0].config.template"] == "" {
				t.Fatalf("refused with %v", err)
			}
			return
		}
		a, b := text(t, r), text(t, r)
		if a != b || len(a) > generate.MaxExpanded || strings.Contains(a, "{{") {
			t.Fatalf("%q became %q and %q", template, a, b)
		}
	})
}

func text(t *testing.T, r generate.Recipe) string {
	t.Helper()
	result, err := r.Generate(drawn(3), noon)
	if err != nil {
		t.Fatal(err)
	}
	var s string
	if err := json.Unmarshal(result.Reveal()["f"], &s); err != nil {
		t.Fatal(err)
	}
	return s
}
