package audit

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// consumerDays is how long ago a read may be whose reader is named.
const consumerDays = 90

// Consumers names the identities that read a secret in the last 90 days, and tells which of them have not since its
// newest version was made: what they hold is older. It goes by the time of the last successful read of a value, so an
// identity that asked for an older version by its number since then counts as one that has the newest. Errors:
// secret_not_found.
func (s *Service) Consumers(ctx context.Context, who guard.Caller, path string) (vaultapi.SecretConsumers, error) {
	return ask(ctx, s, who, path, func(now time.Time) (vaultapi.SecretConsumers, error) {
		version, made, err := s.versions.Current(ctx, who.Tenant, path)
		if err != nil {
			return vaultapi.SecretConsumers{}, err
		}
		r, err := between(now.AddDate(0, 0, -consumerDays), time.Time{})
		if err != nil {
			return vaultapi.SecretConsumers{}, err
		}
		done, err := s.log.deeds(ctx, who.Tenant, scope{path: path}, r)
		if err != nil {
			return vaultapi.SecretConsumers{}, err
		}
		all := consumers(done, made)
		return vaultapi.SecretConsumers{
			Path: path, Version: version, VersionCreatedAt: vaultapi.MicroTime{Time: made.UTC()}, Consumers: all, Data: all,
		}, nil
	})
}

// consumers sums up reads of values by who read: those from before a time first, and of them those that read last.
func consumers(done map[deed]tally, made time.Time) []vaultapi.SecretConsumer {
	reads := map[string]tally{}
	for d, t := range done {
		if d.ok && isValueRead(d.action) {
			reads[d.identity] = reads[d.identity].add(t)
		}
	}
	all := make([]vaultapi.SecretConsumer, 0, len(reads))
	for id, t := range reads {
		all = append(all, vaultapi.SecretConsumer{
			IdentityID: id, LastReadAt: *instant(t.last), Reads: t.events, HoldsOldVersion: t.last < made.UnixMicro(),
		})
	}
	slices.SortFunc(all, func(a, b vaultapi.SecretConsumer) int {
		if a.HoldsOldVersion != b.HoldsOldVersion {
			if a.HoldsOldVersion {
				return -1
			}
			return 1
		}
		return cmp.Or(b.LastReadAt.Compare(a.LastReadAt.Time), cmp.Compare(a.IdentityID, b.IdentityID))
	})
	return all
}
