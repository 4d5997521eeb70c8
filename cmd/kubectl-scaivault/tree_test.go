package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/console"
)

// The tree stands in columns, long text does not widen them, and text of others cannot move the cursor or make lines
// of its own.
func TestTree(t *testing.T) {
	now := time.Date(2026, 5, 10, 12, 0, 0, 0, time.UTC)
	since := now.Add(-3 * time.Minute)
	var out bytes.Buffer
	a := &app{Console: console.Console{Out: &out, Errors: &out}, now: func() time.Time { return now }}
	hostile := "one\ntwo\x1b[2J"
	err := a.printTree(&overview{
		Namespaces: []namespaceState{{Name: "billing", VaultSecrets: []secretState{
			{Name: "denied", Secret: "d", state: state{Ready: "False", Reason: "AccessDenied", Since: &since, Blocked: true, Message: hostile, Next: "do " + strings.Repeat("much ", 30)}},
			{Name: "well", Secret: "w", state: state{Ready: "True", Reason: "Synced", Since: &since}},
		}, RotationSchedules: []rotationState{{Name: "r", Secrets: 3, Rotating: 1, Overdue: 2, state: state{Ready: "True", Reason: "Scheduled", Since: &since}}},
			PKIIssuers: []issuerState{{Name: "web", Role: "svc", Authority: "corp", state: state{Ready: "True", Reason: "Issuing", Since: &since}}}}},
		ClusterPKIIssuers: []issuerState{{Name: "all", Role: "svc", state: state{Ready: "False", Reason: "RoleMissing", Since: &since}}},
		VaultPolicies:     []policyState{{Name: "p", Bindings: 2, state: state{Ready: "Unknown", Reason: reasonUnseen}}},
		NotLookedAt:       []string{hostile},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := `NAME                     READY    REASON        SINCE  MAKES
billing
├─ VaultSecret/denied    False    AccessDenied  3m     Secret/d
│    one\ntwo\x1b[2J
│    Next: do ` + strings.TrimSpace(strings.Repeat("much ", 30)) + `
├─ VaultSecret/well      True     Synced        3m     Secret/w
├─ RotationSchedule/r    True     Scheduled     3m     secrets: 3, rotating: 1, overdue: 2
└─ PKIIssuer/web         True     Issuing       3m     certificates: svc of corp
ClusterPKIIssuers
└─ ClusterPKIIssuer/all  False    RoleMissing   3m     certificates: svc
VaultPolicies
└─ VaultPolicy/p         Unknown  NotSeenYet    -      bindings: 2
Not looked at: one\ntwo\x1b[2J
`
	if diff := cmp.Diff(want, out.String()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
