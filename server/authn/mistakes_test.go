package authn

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// The mistakes of others that have a surface here (docs/security/mistakes.md).

// User names in another case or with spaces dodged the lockout. Failures count against the address, whatever was
// tried and however either is written.
func TestMistake23SpellingsDodgeNoLimit(t *testing.T) {
	const limit = 8
	f := newFixture(t, storetest.Open(t, storetest.Options(t, store.SQLite)), func(o *Options) { o.Limits = FailureLimits{PerSource: limit} })
	f.trust(t, TrustRule{Name: "home"})
	f.cluster.err = notAWorkload("no")
	good := f.jwt(t, nil)
	for i, token := range []string{
		good, good + " ", " " + good, strings.ToUpper(good), f.jwt(t, map[string]any{"iss": "https://cluster.example/"}),
		f.jwt(t, map[string]any{"iss": "HTTPS://CLUSTER.EXAMPLE"}), f.jwt(t, map[string]any{"sub": "system:serviceaccount:billing:Billing-Prod"}),
		f.jwt(t, map[string]any{"sub": "system:serviceaccount:billing:billing-prod "}), good,
	} {
		src := source()
		src.IP = netip.MustParseAddr([]string{"10.0.0.2", "::ffff:10.0.0.2", "::ffff:a00:2"}[i%3])
		_, err := f.Exchange(t.Context(), vaultapi.ExchangeRequest{SubjectToken: token}, src)
		want := fault.CodeTokenInvalid
		if i == limit {
			want = fault.CodeRateLimited
		}
		wantCode(t, err, want)
	}
}

// A lease within a second of its longest life never ended. A token ends at its time, whatever part of a second it
// was made for, and none lives longer than the longest life.
func TestMistake58NoLifeIsRoundedToEternity(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		f := newFixture(t, db)
		for _, life := range []time.Duration{
			1, 999, time.Microsecond, time.Millisecond, time.Second - 1, time.Second, time.Second + 1, DefaultLife,
			maxLife - time.Second, maxLife - time.Second + 1, maxLife - 1, maxLife,
		} {
			made := f.issue(t, TokenSpec{Life: life})
			if end := f.clock.now().Add(life); made.ExpiresAt.After(end) {
				t.Errorf("life %s is said to end at %s, want %s", life, made.ExpiresAt, end)
			}
			f.clock.advance(life)
			_, err := f.Authenticate(t.Context(), made.Token)
			wantCode(t, err, fault.CodeTokenExpired)
		}
		for _, life := range []time.Duration{-1, maxLife + 1, 1<<63 - 1} {
			_, err := f.Create(t.Context(), admin(), TokenSpec{Name: "x", Identity: "sa:x", Scopes: []string{"secrets:read"}, Life: life})
			wantCode(t, err, fault.CodeValidation)
		}
	})
}
