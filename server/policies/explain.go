package policies

import (
	"context"
	"net/netip"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Test says whether an identity could do something, and why (contract section 5.3, OC-6). It is a
// dry run and leaves no audit entry. Scope policies:read. The identity's groups are known only where
// it is the caller's own. Errors: invalid_request, invalid_path; an unknown identity is no error.
func (s *Service) Test(ctx context.Context, who guard.Caller, t vaultapi.PolicyTest) (vaultapi.PolicyTestResult, error) {
	if _, err := s.guard.Check(ctx, who, guard.Access{Scope: ScopeRead}, 0); err != nil {
		return vaultapi.PolicyTestResult{}, err
	}
	q, err := request(who, t, s.guard.Now())
	if err != nil {
		return vaultapi.PolicyTestResult{}, err
	}
	set, err := s.cache.Fresh(ctx, who.Tenant)
	if err != nil {
		return vaultapi.PolicyTestResult{}, unread(err)
	}
	return result(set.Explain(q)), nil
}

func request(who guard.Caller, t vaultapi.PolicyTest, now time.Time) (policy.Request, error) {
	class, path, err := policy.ParsePath(t.Path)
	if err != nil {
		return policy.Request{}, invalidPath(err)
	}
	permission, err := permissionOf(class, t.Permission)
	if err != nil {
		return policy.Request{}, err
	}
	if t.IdentityID == "" {
		return policy.Request{}, invalidQuery("identity_id", "identity_id is needed")
	}
	sub, err := subject(t, now)
	if err != nil {
		return policy.Request{}, err
	}
	if sub.Type == who.Type && sub.ID == who.ID {
		sub.Groups = who.Groups
	}
	return policy.Request{Subject: sub, Permission: permission, Class: class, Path: path}, nil
}

// subject is the identity in the situation to judge.
func subject(t vaultapi.PolicyTest, now time.Time) (policy.Subject, error) {
	sub := policy.Subject{Type: t.IdentityType, ID: t.IdentityID, Now: now, Namespace: policy.NamespaceOf(t.IdentityID)}
	if sub.Type == "" {
		sub.Type = identityType(t.IdentityID)
	}
	c := t.Context
	if c == nil {
		return sub, nil
	}
	sub.MFA = c.MFAVerified
	if c.Namespace != "" {
		sub.Namespace = c.Namespace
	}
	if c.SourceIP != "" {
		ip, err := netip.ParseAddr(c.SourceIP)
		if err != nil {
			return policy.Subject{}, invalidQuery("context.source_ip", "context.source_ip is not an IP address")
		}
		sub.IP = ip
	}
	if c.Timestamp != "" {
		at, err := vaultapi.ParseTime(c.Timestamp)
		if err != nil {
			return policy.Subject{}, invalidQuery("context.timestamp", "context.timestamp: %v", err)
		}
		sub.Now = at
	}
	return sub, nil
}

func result(d policy.Decision) vaultapi.PolicyTestResult {
	r := vaultapi.PolicyTestResult{Allowed: d.Allowed, Reason: d.Reason, FailedCondition: d.FailedCondition, EvaluatedPolicies: d.Evaluated}
	if r.EvaluatedPolicies == nil {
		r.EvaluatedPolicies = []string{}
	}
	if d.Allowed {
		r.MatchedPolicyID, r.MatchedRule = d.PolicyID, &d.Rule
	}
	if n := d.Nearest; n != nil {
		r.Nearest = &vaultapi.NearestRule{PolicyID: n.PolicyID, Rule: n.Rule, PathPattern: n.Pattern, Why: n.Why}
	}
	return r
}
