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
	for _, ns := range o.Namespaces {
		lines = append(lines, line{text: ns.Name})
		for i, v := range ns.VaultSecrets {
			last := i == len(ns.VaultSecrets)-1 && len(ns.RotationSchedules)+len(ns.PKIIssuers) == 0
			lines = append(lines, branch("VaultSecret/"+v.Name, "Secret/"+v.Secret, &v.state, last, a.now())...)
		}
		for i, r := range ns.RotationSchedules {
			lines = append(lines, branch("RotationSchedule/"+r.Name, r.makes(), &r.state, i == len(ns.RotationSchedules)-1 && len(ns.PKIIssuers) == 0, a.now())...)
		}
		for i, s := range ns.PKIIssuers {
			lines = append(lines, branch("PKIIssuer/"+s.Name, s.makes(), &s.state, i == len(ns.PKIIssuers)-1, a.now())...)
		}
	}
	if len(o.ClusterPKIIssuers) > 0 {
		lines = append(lines, line{text: "ClusterPKIIssuers"})
	}
	for i, s := range o.ClusterPKIIssuers {
		lines = append(lines, branch("ClusterPKIIssuer/"+s.Name, s.makes(), &s.state, i == len(o.ClusterPKIIssuers)-1, a.now())...)
	}
	if len(o.VaultPolicies) > 0 {
		lines = append(lines, line{text: "VaultPolicies"})
	}
	for i, p := range o.VaultPolicies {
		lines = append(lines, branch("VaultPolicy/"+p.Name, fmt.Sprintf("bindings: %d", p.Bindings), &p.state, i == len(o.VaultPolicies)-1, a.now())...)
	}
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
