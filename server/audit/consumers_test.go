package audit

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// made says when the newest version of each path was made.
type made map[string]time.Time

func (m made) Current(_ context.Context, _, path string) (int64, time.Time, error) {
	at, known := m[path]
	if !known {
		return 0, time.Time{}, fault.NotFound(fault.CodeSecretNotFound, "there is no secret at %s", path)
	}
	return 4, at, nil
}

// Who read a value is named, once, and told apart by whether that was since the newest version; who was refused, wrote
// or only looked at metadata is not, nor who read long ago, another secret, or in another tenant.
func TestConsumers(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		clk := newClock()
		l := newLog(t, db, clk.now, nil)
		s, who := newService(l, db, clk), auditor(tenant, "audit:read")
		record(t, l, clk)
		day := func(n int) time.Time { return clk.now().AddDate(0, 0, -n) }
		for _, e := range []guard.Entry{
			{Time: day(40), Action: "read", IdentityID: "sa:old", Success: true},
			{Time: day(20), Action: "batch_read", IdentityID: "sa:old", Success: true},
			{Time: day(5).Add(-time.Microsecond), Action: "read", IdentityID: "sa:just-before", Success: true},
			{Time: day(5), Action: "read", IdentityID: "sa:just-after", Success: true},
			{Time: day(5).Add(-time.Hour), Action: "read", IdentityID: "sa:both", Success: true},
			{Time: day(1), Action: "read", IdentityID: "sa:both", Success: true},
			{Time: day(100), Action: "read", IdentityID: "sa:long-ago", Success: true},
			{Time: day(1), Action: "read", IdentityID: "sa:refused", Code: "access_denied"},
			{Time: day(1), Action: "metadata_read", IdentityID: "sa:looked", Success: true},
			{Time: day(1), Action: "write", IdentityID: "sa:writer", Success: true},
			{Time: day(1), Action: "read", IdentityID: "sa:stranger", Success: true, Tenant: "tnt_other"},
		} {
			if e.Tenant == "" {
				e.Tenant = tenant
			}
			e.IdentityType, e.Path, e.SourceIP, e.RequestID = "service_account", "prod/stripe", "10.1.2.3", "req_7"
			must(t, l.Append(t.Context(), e))
		}
		want := []string{
			"sa:just-before 1 old", "user:alice@acme.example 1 old", "sa:old 2 old",
			"sa:billing-prod 2 new", "sa:both 2 new", "sa:just-after 1 new",
		}
		for _, indexed := range []bool{false, true} {
			if indexed {
				must(t, l.index(t.Context()))
			}
			got, err := s.Consumers(t.Context(), who, "prod/stripe")
			must(t, err)
			var lines []string
			for _, c := range got.Consumers {
				age := "new"
				if c.HoldsOldVersion {
					age = "old"
				}
				lines = append(lines, fmt.Sprintf("%s %d %s", c.IdentityID, c.Reads, age))
			}
			if diff := cmp.Diff(want, lines); diff != "" || got.Version != 4 || !got.VersionCreatedAt.Equal(day(5)) {
				t.Errorf("indexed %t: %+v (-want +got)\n%s", indexed, got, diff)
			}
		}
		if _, err := s.Consumers(t.Context(), who, "prod/none"); !fault.Is(err, fault.CodeSecretNotFound) {
			t.Errorf("a secret that is not there: %v", err)
		}
		if _, err := s.Consumers(t.Context(), auditor(tenant, "secrets:read"), "prod/stripe"); !fault.Is(err, fault.CodeInsufficientScope) {
			t.Errorf("without the scope: %v", err)
		}
	})
}
