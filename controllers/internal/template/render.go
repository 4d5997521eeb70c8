package template

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"text/template"
	"text/template/parse"
	"time"
)

// Limits of one rendering.
const (
	OutputLimit = 1 << 20 // bytes of the result, and of what any function returns
	StepLimit   = 10_000  // range steps, nested ones counted too
	TimeLimit   = 100 * time.Millisecond
)

// stepFunc is the name of the function that is put into every range body; no template can name it.
const stepFunc = "__step"

// Error says where a template fails and why. It never holds a value.
type Error struct{ Reason string }

func (e *Error) Error() string { return e.Reason }

func failf(format string, args ...any) error { return &Error{fmt.Sprintf(format, args...)} }

// budget is what one rendering may still use.
type budget struct {
	now      func() time.Time
	deadline time.Time
	steps    int
}

func (b *budget) check() error {
	if b.now().After(b.deadline) {
		return failf("takes longer than %s", TimeLimit)
	}
	return nil
}

func (b *budget) step() (string, error) {
	if b.steps++; b.steps > StepLimit {
		return "", failf("takes more than %d range steps", StepLimit)
	}
	return "", b.check()
}

// Check tells whether text is a template that Render would accept.
func Check(text string) error {
	_, err := compile(text, &budget{now: time.Now})
	return err
}

// Render executes text over data: sources by name, each a map of fields as encoding/json decodes them
// with numbers kept as written. now is the clock for the time limit.
func Render(text string, data map[string]any, now func() time.Time) (out []byte, err error) {
	b := &budget{now: now, deadline: now().Add(TimeLimit)}
	t, err := compile(text, b)
	if err != nil {
		return nil, err
	}
	defer func() {
		if recover() != nil { // its text may hold a value
			out, err = nil, failf("cannot be evaluated")
		}
	}()
	w := &writer{budget: b}
	if err := t.Execute(w, data); err != nil {
		return nil, explain(err)
	}
	return w.out, nil
}

// compile parses text and refuses what the limits could not hold.
func compile(text string, b *budget) (*template.Template, error) {
	functions := b.functions()
	t, err := template.New("template").Option("missingkey=error").Funcs(functions).Parse(text)
	if err != nil { // speaks of the template's text only
		return nil, &Error{"does not parse: " + strings.TrimPrefix(err.Error(), "template: ")}
	}
	if len(t.Templates()) > 1 {
		return nil, failf("must not define other templates")
	}
	if t.Tree == nil {
		return t, nil
	}
	g := &guard{step: stepNode(functions), functions: functions}
	if err := g.list(t.Root); err != nil {
		return nil, err
	}
	return t, nil
}

// stepNode is {{__step}} as a parsed node.
func stepNode(functions template.FuncMap) parse.Node {
	t := template.Must(template.New("step").Funcs(functions).Parse("{{" + stepFunc + "}}"))
	return t.Root.Nodes[0]
}

// writer collects the result within its limit.
type writer struct {
	*budget
	out []byte
}

func (w *writer) Write(p []byte) (int, error) {
	if len(w.out)+len(p) > OutputLimit {
		return 0, failf("gives more than %d bytes", OutputLimit)
	}
	w.out = append(w.out, p...)
	return len(p), w.check()
}

var (
	place      = regexp.MustCompile(`^template: template:(\d+:\d+): executing "template" at (<[^\n]*?>): `)
	missingKey = regexp.MustCompile(`map has no entry for key "[^"\n]*"$`)
)

// explain makes an error without values of what text/template says. Its own texts may quote values
// ("range can't iterate over hunter2"), so only the place, our own errors, and a missing field pass.
func explain(err error) error {
	at := ""
	if m := place.FindStringSubmatch(err.Error()); m != nil {
		at = fmt.Sprintf(" at line %s %s", m[1], m[2])
	}
	var own *Error
	if errors.As(err, &own) {
		return failf("fails%s: %s", at, own.Reason)
	}
	if m := missingKey.FindString(err.Error()); m != "" {
		return failf("fails%s: there is no field %s", at, strings.TrimPrefix(m, "map has no entry for key "))
	}
	return failf("fails%s: a value has another type than this needs, or is missing", at)
}
