package authn

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/server/fault"
)

// Identity templates. Whatever is not one of these two is an alias, which one ServiceAccount alone may have;
// an alias has one part, so that it can never be what a template gives to somebody else.
const (
	TemplateHome    = "sa:{namespace}:{name}"           // cluster home only
	TemplateCluster = "sa:{cluster}:{namespace}:{name}" // any other cluster
)

// Lives of exchanged tokens.
const (
	DefaultExchangedLife = 10 * time.Minute
	minExchangedLife     = time.Minute
	maxExchangedLife     = time.Hour
)

// trustPrefix begins the id of every rule.
const trustPrefix = "trust_"

// TrustRule says what a cluster's workloads may become (architecture section 6). Empty Namespace or
// ServiceAccount match every one; the most specific rule that matches decides alone.
type TrustRule struct {
	Tenant         string
	ID             string
	Name           string // unique in the tenant
	Cluster        string // "": HomeCluster
	Namespace      string
	ServiceAccount string
	Identity       string        // TemplateHome, TemplateCluster or an alias sa:<name>; "": the cluster's template
	Scopes         []string      // none: secrets:read secrets:list secrets:rotate pki:issue dynamic:generate
	Life           time.Duration // whole seconds; 0: DefaultExchangedLife
	Owner          string        // ownerBootstrap, or "" for an administrator's
	CreatedAt      time.Time
}

// withDefaults fills what the rule's maker left open.
func (r TrustRule) withDefaults() TrustRule {
	if r.Cluster == "" {
		r.Cluster = HomeCluster
	}
	if r.Identity == "" {
		r.Identity = templateOf(r.Cluster)
	}
	if len(r.Scopes) == 0 {
		r.Scopes = workloadScopes()
	}
	if r.Life == 0 {
		r.Life = DefaultExchangedLife
	}
	return r
}

func templateOf(cluster string) string {
	if cluster == HomeCluster {
		return TemplateHome
	}
	return TemplateCluster
}

// validate checks a rule with its defaults filled in. Error: validation_error.
func (r TrustRule) validate() error {
	wrong := map[string]string{}
	r.checkSelector(wrong)
	if !validRuleName(r.Name) {
		wrong["name"] = "1 to 128 letters, digits, dots, - and _, not beginning with " + trustPrefix
	}
	if why := r.checkIdentity(); why != "" {
		wrong["identity"] = why
	}
	for _, scope := range r.Scopes {
		if !knownScope(scope) {
			wrong["scopes"] = fmt.Sprintf("%.64q is not a scope", scope)
		}
	}
	if r.Life < minExchangedLife || r.Life > maxExchangedLife {
		wrong["life"] = "one minute to one hour"
	}
	if len(wrong) > 0 {
		return fault.Validation(wrong)
	}
	return nil
}

// validRuleName keeps names apart from ids and lets them stand in a URL.
func validRuleName(s string) bool { return validRuleRef(s) && !strings.HasPrefix(s, trustPrefix) }

// validRuleRef tells whether s can be a rule's name or id.
func validRuleRef(s string) bool {
	return s != "" && len(s) <= 128 && strings.Trim(s, lowerAlphanumeric+"ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.") == "" && strings.Trim(s, ".") != ""
}

// checkSelector finds what is wrong with the workloads the rule names.
func (r TrustRule) checkSelector(wrong map[string]string) {
	if !validLabel(r.Cluster) {
		wrong["cluster"] = "a DNS label"
	}
	if r.Namespace != "" && !validLabel(r.Namespace) {
		wrong["namespace"] = "a DNS label, or empty for every namespace"
	}
	switch {
	case r.ServiceAccount == "":
	case !validSubdomain(r.ServiceAccount):
		wrong["service_account"] = "a DNS name, or empty for every ServiceAccount"
	case r.Namespace == "":
		wrong["namespace"] = "needed beside service_account: whoever owns a namespace may name a ServiceAccount as he likes"
	}
}

// checkIdentity says what is wrong with the identity, "" if nothing is.
func (r TrustRule) checkIdentity() string {
	if !r.alias() {
		return ""
	}
	alias, ok := strings.CutPrefix(r.Identity, "sa:")
	switch {
	case !ok || !validSubdomain(alias):
		return fmt.Sprintf("%s, or an alias sa:<name> of lower-case letters, digits, - and dots", templateOf(r.Cluster))
	case r.Namespace == "" || r.ServiceAccount == "":
		return "an alias needs cluster, namespace and service_account, so that only one workload has it"
	}
	return ""
}

// identity is what the rule makes of a workload. It checks the values once more: what a rule's template is filled
// with must hold nothing that a policy pattern or an identity gives a meaning to.
func (r TrustRule) identity(sa ServiceAccount) (string, error) {
	if !validLabel(r.Cluster) || !validLabel(sa.Namespace) || !validSubdomain(sa.Name) {
		return "", unauthenticated(fault.CodeTokenInvalid, "the workload's name is not made of DNS labels")
	}
	return strings.NewReplacer("{cluster}", r.Cluster, "{namespace}", sa.Namespace, "{name}", sa.Name).Replace(r.Identity), nil
}

// alias tells whether the identity is one that no template gives.
func (r TrustRule) alias() bool { return r.Identity != templateOf(r.Cluster) }

// matches tells whether the rule speaks of a workload.
func (r TrustRule) matches(cluster string, sa ServiceAccount) bool {
	return r.Cluster == cluster && (r.Namespace == "" || r.Namespace == sa.Namespace) &&
		(r.ServiceAccount == "" || r.Namespace != "" && r.ServiceAccount == sa.Name)
}

// overlaps tells whether two rules speak of a workload that both match.
func (r TrustRule) overlaps(o TrustRule) bool {
	same := func(a, b string) bool { return a == "" || b == "" || a == b }
	return r.Cluster == o.Cluster && same(r.Namespace, o.Namespace) && same(r.ServiceAccount, o.ServiceAccount)
}

// sameWorkloads tells whether two rules match exactly the same workloads.
func (r TrustRule) sameWorkloads(o TrustRule) bool {
	return r.Cluster == o.Cluster && r.Namespace == o.Namespace && r.ServiceAccount == o.ServiceAccount
}

func (r TrustRule) specificity() int {
	switch {
	case r.ServiceAccount != "":
		return 2
	case r.Namespace != "":
		return 1
	}
	return 0
}

// choose picks the rule for a workload: among the most specific that match, the one whose identity is role, or
// the only one when no role is asked for. A role of a less specific rule is not given: the specific rule is there
// to replace it. Errors: access_denied, invalid_request when several identities are possible and none is named.
func choose(rules []TrustRule, cluster string, sa ServiceAccount, role string) (TrustRule, string, error) {
	best := mostSpecific(rules, cluster, sa)
	var picked []TrustRule
	var identities []string
	for _, r := range best {
		id, err := r.identity(sa)
		if err != nil {
			return TrustRule{}, "", err
		}
		if role == "" || role == id {
			picked, identities = append(picked, r), append(identities, id)
		}
	}
	switch {
	case len(best) == 0:
		return TrustRule{}, "", fault.Forbidden(fault.CodeAccessDenied,
			"no trust rule of cluster %s speaks of ServiceAccount %s/%s: an administrator may add one", cluster, sa.Namespace, sa.Name)
	case len(picked) == 0:
		return TrustRule{}, "", fault.Forbidden(fault.CodeAccessDenied,
			"no trust rule lets ServiceAccount %s/%s become requested_role", sa.Namespace, sa.Name)
	case len(picked) > 1:
		return TrustRule{}, "", fault.Invalid(fault.CodeInvalidRequest,
			"several trust rules fit: name one identity as requested_role").With("identities", identities)
	}
	return picked[0], identities[0], nil
}

func mostSpecific(rules []TrustRule, cluster string, sa ServiceAccount) []TrustRule {
	var best []TrustRule
	for _, r := range rules {
		if !r.matches(cluster, sa) {
			continue
		}
		if len(best) > 0 && r.specificity() > best[0].specificity() {
			best = nil
		}
		if len(best) == 0 || r.specificity() == best[0].specificity() {
			best = append(best, r)
		}
	}
	return best
}

// narrow returns the scopes of a rule that the space-separated wish asks for; "" asks for all.
// Error: insufficient_scope for one that the rule does not give.
func narrow(given []string, wish string) ([]string, error) {
	wanted := strings.Fields(wish)
	if len(wanted) == 0 {
		return given, nil
	}
	for _, scope := range wanted {
		if !slices.Contains(given, scope) {
			return nil, fault.Forbidden(fault.CodeInsufficientScope, "the trust rule does not give scope %.64q", scope).
				With("required_scope", scope[:min(len(scope), 64)])
		}
	}
	slices.Sort(wanted)
	return slices.Compact(wanted), nil
}
