package audit

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// ActionQuery is the action under which looking at the trail is itself recorded.
const ActionQuery = "audit_query"

const (
	scopeRead    = "audit:read"
	summaryDays  = 30
	defaultRange = 24 * time.Hour // of Summary without from
)

// Service answers questions about the trail of the caller's tenant (contract section 11). Every method wants
// scope audit:read and leaves an entry.
type Service struct {
	log      *Log
	guard    *guard.Guard
	versions Versions
}

// Versions tells of the secrets whose readers are asked for.
type Versions interface {
	// Current gives the newest version of a secret and when it was made. Errors: secret_not_found.
	Current(ctx context.Context, tenant, path string) (version int64, made time.Time, err error)
}

// NewService makes a Service.
func NewService(l *Log, g *guard.Guard, v Versions) *Service {
	return &Service{log: l, guard: g, versions: v}
}

// ask runs a question under the guard. target names what was looked at: it is not the entry's path, because looking at
// a secret's trail is no access to the secret.
func ask[T any](ctx context.Context, s *Service, who guard.Caller, target string, work func(now time.Time) (T, error)) (T, error) {
	a := guard.Access{Action: ActionQuery, Scope: scopeRead, Target: target}
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (T, error) {
		v, err := work(c.Now())
		return v, unreadable(err)
	})
}

// unreadable gives failures to read the trail their public kind.
func unreadable(err error) error {
	var f *fault.Error
	switch {
	case err == nil || errors.As(err, &f):
		return err
	case errors.Is(err, errLine), errors.Is(err, errRefs):
		return fault.New(fault.KindInternal, fault.CodeInternal, "the audit trail is damaged: GET /v1/audit/verify says where").Because(err)
	}
	return fault.Unavailable(err, "the audit trail cannot be read now")
}

// Logs returns entries, newest first. Errors: invalid_request, invalid_cursor.
func (s *Service) Logs(ctx context.Context, who guard.Caller, q Query) (vaultapi.AuditList, error) {
	return ask(ctx, s, who, "logs", func(time.Time) (vaultapi.AuditList, error) {
		return s.log.page(ctx, who.Tenant, "", q)
	})
}

// SecretTrail returns what happened to one path, and its last 30 days (contract OC-19).
func (s *Service) SecretTrail(ctx context.Context, who guard.Caller, path string, q Query) (vaultapi.SecretTrail, error) {
	return ask(ctx, s, who, path, func(now time.Time) (vaultapi.SecretTrail, error) {
		page, err := s.log.page(ctx, who.Tenant, path, q)
		if err != nil {
			return vaultapi.SecretTrail{}, err
		}
		summary, err := s.secretSummary(ctx, who.Tenant, path, now)
		return vaultapi.SecretTrail{AuditList: page, Summary: summary}, err
	})
}

// secretSummary sums up the present UTC day and the 29 before it, as access counters do (contract OC-27).
func (s *Service) secretSummary(ctx context.Context, tenant, path string, now time.Time) (vaultapi.SecretTrailSummary, error) {
	first := now.UTC().Truncate(24*time.Hour).AddDate(0, 0, 1-summaryDays)
	r, err := between(first, time.Time{})
	if err != nil {
		return vaultapi.SecretTrailSummary{}, err
	}
	done, err := s.log.deeds(ctx, tenant, scope{path: path}, r)
	if err != nil {
		return vaultapi.SecretTrailSummary{}, err
	}
	var out vaultapi.SecretTrailSummary
	identities := map[string]bool{}
	var last int64
	for d, t := range done {
		identities[d.identity] = true
		switch {
		case d.ok && isValueRead(d.action):
			out.Reads30d += t.events
			last = max(last, t.last)
		case d.ok && d.action == "write":
			out.Writes30d += t.events
		}
	}
	out.DistinctIdentities30d = int64(len(identities))
	out.LastReadAt = instant(last)
	return out, nil
}

// IdentityTrail returns what one identity did, with a summary of the asked time.
func (s *Service) IdentityTrail(ctx context.Context, who guard.Caller, identityID string, q Query) (vaultapi.IdentityTrail, error) {
	q.IdentityID = clean(identityID, maxName)
	return ask(ctx, s, who, identityID, func(time.Time) (vaultapi.IdentityTrail, error) {
		page, err := s.log.page(ctx, who.Tenant, "", q)
		if err != nil {
			return vaultapi.IdentityTrail{}, err
		}
		summary, err := s.identitySummary(ctx, who.Tenant, q)
		return vaultapi.IdentityTrail{AuditList: page, Summary: summary}, err
	})
}

func (s *Service) identitySummary(ctx context.Context, tenant string, q Query) (vaultapi.IdentityTrailSummary, error) {
	r, err := between(q.From, q.To)
	if err != nil {
		return vaultapi.IdentityTrailSummary{}, err
	}
	done, err := s.log.deeds(ctx, tenant, scope{identity: q.IdentityID}, r)
	if err != nil {
		return vaultapi.IdentityTrailSummary{}, err
	}
	out := vaultapi.IdentityTrailSummary{ByAction: map[string]int64{}}
	paths := map[string]bool{}
	var all tally
	for d, t := range done {
		all = all.add(t)
		out.ByAction[d.action] += t.events
		if d.accessed() {
			paths[d.path] = true
		}
	}
	out.TotalEvents = all.events
	out.ResourcesAccessed = slices.Sorted(maps.Keys(paths))
	if out.ResourcesAccessed == nil {
		out.ResourcesAccessed = []string{}
	}
	out.FirstEventAt, out.LastEventAt = instant(all.first), instant(all.last)
	return out, nil
}

// accessed tells whether a deed reached a secret, so that whoever did it may know its value: a refused call did not,
// nor did a list, and paths of pki and dynamic calls name no secret.
func (d deed) accessed() bool {
	return d.ok && d.path != "" && d.action != "list" && !strings.HasPrefix(d.action, "pki_") && !strings.HasPrefix(d.action, "dynamic_")
}

// Summary counts what happened between two instants; the default is the last 24 hours.
func (s *Service) Summary(ctx context.Context, who guard.Caller, from, to time.Time) (vaultapi.AuditSummary, error) {
	return ask(ctx, s, who, "summary", func(now time.Time) (vaultapi.AuditSummary, error) {
		end := to // open if not given
		if to.IsZero() {
			to = now
		}
		if from.IsZero() {
			from = to.Add(-defaultRange)
		}
		r, err := between(from, end)
		if err != nil {
			return vaultapi.AuditSummary{}, err
		}
		done, err := s.log.deeds(ctx, who.Tenant, scope{}, r)
		if err != nil {
			return vaultapi.AuditSummary{}, err
		}
		return summarise(done, from, to), nil
	})
}

func summarise(done map[deed]tally, from, to time.Time) vaultapi.AuditSummary {
	out := vaultapi.AuditSummary{From: vaultapi.MicroTime{Time: from}, To: vaultapi.MicroTime{Time: to}, ByAction: map[string]int64{}}
	paths, identities := map[string]bool{}, map[string]bool{}
	for d, t := range done {
		out.TotalEvents += t.events
		if d.ok {
			out.SuccessfulEvents += t.events
		}
		out.ByAction[d.action] += t.events
		if d.path != "" {
			paths[d.path] = true
		}
		if d.identity != "" {
			identities[d.identity] = true
		}
	}
	out.FailedEvents = out.TotalEvents - out.SuccessfulEvents
	out.DistinctPaths, out.DistinctIDs = int64(len(paths)), int64(len(identities))
	return out
}

// Verify recomputes every chain of the tenant and compares it with what was signed.
func (s *Service) Verify(ctx context.Context, who guard.Caller) (vaultapi.AuditVerification, error) {
	return ask(ctx, s, who, "verify", func(time.Time) (vaultapi.AuditVerification, error) {
		return s.log.Verify(ctx, who.Tenant)
	})
}

func instant(us int64) *vaultapi.MicroTime {
	if us == 0 {
		return nil
	}
	return &vaultapi.MicroTime{Time: time.UnixMicro(us).UTC()}
}
