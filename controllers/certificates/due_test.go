package certificates

import (
	"crypto/x509"
	"testing"
	"time"
)

var now = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

const days = 24 * time.Hour

// lived is a self-signed certificate of a life, of which so much has gone by.
func lived(t *testing.T, life, gone time.Duration) *x509.Certificate {
	t.Helper()
	made := template(now.Add(-gone), "x", life)
	made.NotBefore = now.Add(-gone)
	made.NotAfter = made.NotBefore.Add(life)
	made.IsCA, made.BasicConstraintsValid = true, true
	p, err := issue(made, nil)
	if err != nil {
		t.Fatal(err)
	}
	return p.cert
}

func TestAging(t *testing.T) {
	for name, tc := range map[string]struct {
		gone time.Duration
		want bool
	}{
		"new": {0, false}, "half": {45 * days, false}, "two thirds": {60 * days, false}, "a second more": {60*days + time.Second, true},
		"over": {91 * days, true},
	} {
		if got := aging(now, lived(t, 90*days, tc.gone)); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
}

func TestTurnOf(t *testing.T) {
	fresh, old, ending, ended := lived(t, 3650*days, 0), lived(t, 3650*days, 2500*days), lived(t, 3650*days, 3649*days+time.Hour), lived(t, 3650*days, 3651*days)
	today, week := lived(t, 3650*days, 0), lived(t, 3650*days, 7*days)
	for name, tc := range map[string]struct {
		current, next *x509.Certificate
		trusted       []*x509.Certificate
		want          turn
	}{
		"new":                               {fresh, nil, nil, stay},
		"in its last third":                 {old, nil, nil, stage},
		"next one made today":               {old, today, nil, stay},
		"next one known for a week":         {old, week, nil, promote},
		"ends before the week is over":      {ending, today, nil, promote},
		"has ended, next one made today":    {ended, today, nil, promote},
		"has ended, no next one":            {ended, nil, nil, stage},
		"one that has ended is trusted":     {fresh, nil, []*x509.Certificate{fresh, ended}, prune},
		"one that lives is trusted, too":    {fresh, nil, []*x509.Certificate{fresh, old}, stay},
		"it has ended itself, week to wait": {ended, nil, []*x509.Certificate{ended}, stage},
	} {
		if got := turnOf(now, tc.current, tc.next, tc.trusted); got != tc.want {
			t.Errorf("%s: turn %d, want %d", name, got, tc.want)
		}
	}
}

// Whatever the dates, an authority comes to rest after a few turns: the operator must not make keys for ever.
func TestTurnsEnd(t *testing.T) {
	for gone := time.Duration(0); gone < 4000*days; gone += 97 * days {
		cert := lived(t, 3650*days, gone)
		a := authority{current: pair{cert: cert}, trusted: []*x509.Certificate{cert}}
		turns := 0
		for turn := a.turn(now); turn != stay; turn = a.turn(now) {
			var err error
			if a, err = a.take(turn, now, "ns"); err != nil {
				t.Fatal(err)
			}
			if turns++; turns > 3 {
				t.Fatalf("after %s: %d turns and no end", gone, turns)
			}
		}
		if now.After(a.current.cert.NotAfter) {
			t.Errorf("after %s: an authority that has ended still signs", gone)
		}
	}
}
