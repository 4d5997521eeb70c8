package authn

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

const (
	grantTokenExchange = "urn:ietf:params:oauth:grant-type:token-exchange"
	typeJWT            = "urn:ietf:params:oauth:token-type:jwt"
)

// Source is where an exchange comes from; nobody is known yet.
type Source struct {
	IP        netip.Addr
	UserAgent string
	RequestID string
}

// Exchange gives a workload a bearer token for its own token (contract OC-8): the cluster says whose that is, the
// most specific trust rule says what it becomes. Errors: invalid_request, token_invalid, token_expired,
// access_denied, insufficient_scope, rate_limited (failures only), service_unavailable.
func (s *Service) Exchange(ctx context.Context, req vaultapi.ExchangeRequest, src Source) (vaultapi.ExchangeResponse, error) {
	x := exchange{service: s, req: req, src: src, start: s.now()}
	grant, err := x.judge(ctx)
	if err != nil {
		return vaultapi.ExchangeResponse{}, x.refused(ctx, err)
	}
	return x.issue(ctx, grant)
}

// exchange is one run of Exchange; cluster and account fill as they become known.
type exchange struct {
	service *Service
	req     vaultapi.ExchangeRequest
	src     Source
	start   time.Time
	cluster string
	account ServiceAccount
}

// granted is what a workload becomes.
type granted struct {
	rule     TrustRule
	identity string
	scopes   []string
	partner  string
}

func (x *exchange) judge(ctx context.Context) (granted, error) {
	s := x.service
	if err := s.failures.sourceAllowed(x.src.IP, x.start); err != nil {
		return granted{}, err
	}
	role, err := checkExchange(x.req)
	if err != nil {
		return granted{}, err
	}
	said, err := peek(x.req.SubjectToken, Audience, x.start)
	if err != nil {
		return granted{}, err
	}
	cluster, ok := clusterOf(s.clusters, said.Issuer)
	if !ok {
		return granted{}, notAWorkload("the issuer of subject_token is not trusted here")
	}
	x.cluster = cluster.Name
	if err := s.failures.issuerAllowed(x.src.IP, cluster.Name, x.start); err != nil {
		return granted{}, err
	}
	if x.account, err = s.review(ctx, cluster, x.req.SubjectToken); err != nil {
		return granted{}, err
	}
	return x.grant(ctx, role)
}

// review asks the cluster, with a bound on how many ask at once. Whatever comes with an error is void.
func (s *Service) review(ctx context.Context, c Cluster, token string) (ServiceAccount, error) {
	slots := s.reviews[c.Name]
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-ctx.Done():
		return ServiceAccount{}, fault.Unavailable(ctx.Err(), "too many exchanges are under way")
	}
	account, err := c.Reviewer.Review(ctx, token, Audience)
	if err != nil {
		return ServiceAccount{}, err
	}
	return account, nil
}

func (x *exchange) grant(ctx context.Context, role string) (granted, error) {
	rules, err := trustRulesFor(ctx, x.service.db, x.cluster, x.account)
	if err != nil {
		return granted{}, fault.Unavailable(err, "trust rules cannot be read now")
	}
	rule, identity, err := choose(rules, x.cluster, x.account, role)
	if err != nil {
		return granted{}, err
	}
	scopes, err := narrow(rule.Scopes, x.req.Scope)
	if err != nil {
		return granted{}, err
	}
	partner, err := partnerOf(ctx, x.service.db, rule.Tenant)
	if err != nil {
		return granted{}, fault.Unavailable(err, "the tenant of the trust rule cannot be read now")
	}
	return granted{rule: rule, identity: identity, scopes: scopes, partner: partner}, nil
}

// issue stores the token and its audit entry in one transaction.
func (x *exchange) issue(ctx context.Context, g granted) (vaultapi.ExchangeResponse, error) {
	t := x.token(g)
	who := t.caller()
	who.SourceIP, who.UserAgent, who.RequestID = x.src.IP, x.src.UserAgent, x.src.RequestID
	access := guard.Access{Action: "auth_exchange", Target: t.id}
	return guard.Change(ctx, x.service.guard, who, access, func(c *guard.Call) (vaultapi.ExchangeResponse, error) {
		bearer := mint(prefixExchanged)
		sum := sha256.Sum256([]byte(bearer))
		t.hash, t.createdAt, t.expiresAt = sum[:], c.Now().UnixMicro(), c.Now().Add(g.rule.Life).UnixMicro()
		c.Note("cluster", x.cluster)
		c.Note("service_account", x.account.Namespace+"/"+x.account.Name)
		c.Note("trust_rule", g.rule.Name)
		if err := insertToken(c.Tx, t); err != nil {
			return vaultapi.ExchangeResponse{}, err
		}
		return vaultapi.ExchangeResponse{
			AccessToken: bearer, TokenType: "Bearer", ExpiresIn: int64(g.rule.Life / time.Second),
			Scope: strings.Join(g.scopes, " "), IdentityID: g.identity,
		}, nil
	})
}

func (x *exchange) token(g granted) *token {
	return &token{
		id: newID("tok_"), tenant: g.rule.Tenant, partner: g.partner, kind: KindExchanged,
		name:         x.cluster + "/" + x.account.Namespace + "/" + x.account.Name,
		identityType: guard.TypeServiceAccount, identityID: g.identity, scopes: g.scopes,
		cluster: x.cluster, namespace: x.account.Namespace,
	}
}

// refused counts and records a failure, and returns what is answered. What is not the caller's doing does not
// count against it.
func (x *exchange) refused(ctx context.Context, err error) error {
	f := fault.From(err)
	action := "auth_failed"
	switch f.Kind {
	case fault.KindInternal, fault.KindUnavailable:
	case fault.KindLimited:
		action = "rate_limited"
	default:
		x.service.failures.failed(x.src.IP, x.cluster, x.start)
	}
	e := guard.Entry{
		Tenant: guard.DefaultTenant, Time: x.start, Action: action, UserAgent: x.src.UserAgent,
		RequestID: x.src.RequestID, Code: f.Code, Duration: x.service.now().Sub(x.start),
		Notes: []guard.Note{{Key: "during", Value: "auth_exchange"}},
	}
	if x.src.IP.IsValid() {
		e.SourceIP = x.src.IP.String()
	}
	if x.account.Name != "" {
		e.Notes = append(e.Notes, guard.Note{Key: "service_account", Value: x.cluster + "/" + x.account.Namespace + "/" + x.account.Name})
	}
	if rerr := x.service.edge.Record(ctx, e); rerr != nil {
		return fault.Unavailable(rerr, "the audit trail cannot be written now; nothing is answered without it")
	}
	return err
}

// checkExchange refuses what is asked for in a way that is not supported, and returns the role asked for.
func checkExchange(req vaultapi.ExchangeRequest) (role string, err error) {
	role = req.RequestedRole
	if role == "" {
		role = req.Role
	}
	switch {
	case req.GrantType != "" && req.GrantType != grantTokenExchange:
		return "", fault.Invalid(fault.CodeInvalidRequest, "grant_type must be %s, or be left out", grantTokenExchange)
	case req.SubjectTokenType != "" && req.SubjectTokenType != typeJWT:
		return "", fault.Invalid(fault.CodeInvalidRequest, "subject_token_type must be %s, or be left out", typeJWT)
	case req.SubjectToken == "":
		return "", fault.Invalid(fault.CodeInvalidRequest, "subject_token is missing")
	case req.Audience != "" && req.Audience != Audience:
		return "", fault.Invalid(fault.CodeInvalidRequest, "audience must be %s, or be left out", Audience)
	case req.RequestedRole != "" && req.Role != "" && req.RequestedRole != req.Role:
		return "", fault.Invalid(fault.CodeInvalidRequest, "requested_role and role differ; they mean the same")
	case req.AllowedPaths != nil: // an empty list could be read as none and as all
		return "", fault.Invalid(fault.CodeInvalidRequest, "allowed_paths is not supported: narrow what the identity may do by its policies, or the token by scope")
	}
	return role, nil
}
