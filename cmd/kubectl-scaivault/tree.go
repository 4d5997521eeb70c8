package main

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/duration"

	"github.com/scailabs/scaivault/internal/console"
)

// line is one line of a tree: cells stand in columns, text runs on.
type line struct {
	cells []string
	text  string
}

func (a *app) printTree(o *overview) error {
	lines := []line{{cells: []string{"NAME", "READY", "REASON", "SINCE", "MAKES"}}}
	for i := range o.Namespaces {
		lines = append(lines, group(o.Namespaces[i].Name, o.Namespaces[i].twigs(), a.now())...)
	}
	lines = append(lines, group("ClusterPKIIssuers", issuerTwigs("ClusterPKIIssuer/", o.ClusterPKIIssuers), a.now())...)
	lines = append(lines, group("VaultPolicies", policyTwigs(o.VaultPolicies), a.now())...)
	if len(lines) == 1 {
		a.Remark("No VaultSecrets, RotationSchedules and PKIIssuers found")
		lines = nil
	}
	for _, l := range aligned(lines) {
		if err := a.Say("%s", l); err != nil {
			return err
		}
	}
	for _, what := range o.NotLookedAt {
		a.Remark("Not looked at: %s", console.Clean(what))
	}
	return nil
}

// twig is an object of the tree: what it is called, what it makes, and how it is.
type twig struct {
	name, makes string
	state       *state
}

func (n *namespaceState) twigs() []twig {
	var all []twig
	for i := range n.VaultSecrets {
		v := &n.VaultSecrets[i]
		all = append(all, twig{"VaultSecret/" + v.Name, "Secret/" + v.Secret, &v.state})
	}
	for i := range n.RotationSchedules {
		r := &n.RotationSchedules[i]
		all = append(all, twig{"RotationSchedule/" + r.Name, r.makes(), &r.state})
	}
	return append(all, issuerTwigs("PKIIssuer/", n.PKIIssuers)...)
}

func issuerTwigs(kind string, issuers []issuerState) []twig {
	var all []twig
	for i := range issuers {
		all = append(all, twig{kind + issuers[i].Name, issuers[i].makes(), &issuers[i].state})
	}
	return all
}

func policyTwigs(policies []policyState) []twig {
	var all []twig
	for i := range policies {
		all = append(all, twig{"VaultPolicy/" + policies[i].Name, fmt.Sprintf("bindings: %d", policies[i].Bindings), &policies[i].state})
	}
	return all
}

// group is a heading with what belongs under it; nothing where that is nothing.
func group(heading string, twigs []twig, now time.Time) []line {
	if len(twigs) == 0 {
		return nil
	}
	lines := []line{{text: heading}}
	for i, t := range twigs {
		lines = append(lines, branch(t.name, t.makes, t.state, i == len(twigs)-1, now)...)
	}
	return lines
}

// makes says in a few words what a RotationSchedule does now.
func (r *rotationState) makes() string {
	text := fmt.Sprintf("secrets: %d", r.Secrets)
	if r.Rotating > 0 {
		text += fmt.Sprintf(", rotating: %d", r.Rotating)
	}
	if r.Overdue > 0 {
		text += fmt.Sprintf(", overdue: %d", r.Overdue)
	}
	return text
}

// branch is an object of the tree, with what blocks it below.
func branch(name, makes string, s *state, last bool, now time.Time) []line {
	arm, below := "├─ ", "│    "
	if last {
		arm, below = "└─ ", "     "
	}
	since := "-"
	if s.Since != nil {
		since = duration.HumanDuration(now.Sub(*s.Since))
	}
	out := []line{{cells: []string{arm + name, s.Ready, s.Reason, since, makes}}}
	if s.Blocked {
		out = append(out, line{text: below + s.Message}, line{text: below + "Next: " + s.Next})
	}
	return out
}

// aligned puts the cells of all lines into columns; text between them does not widen any.
func aligned(lines []line) []string {
	var widths []int
	for _, l := range lines {
		for i, c := range l.cells {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(console.Clean(c)))
		}
	}
	out := make([]string, 0, len(lines))
	for _, l := range lines {
		text := console.Clean(l.text)
		for i, c := range l.cells {
			text += fmt.Sprintf("%-*s  ", widths[i], console.Clean(c))
		}
		out = append(out, strings.TrimRight(text, " "))
	}
	return out
}
