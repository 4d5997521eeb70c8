package policies

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Limits of a policy.
const (
	MaxRules       = 64
	MaxIPRanges    = 64
	MaxDescription = 1024 // bytes
	MaxIdentity    = 256  // bytes

	maxPermissions = 16
	policyPrefix   = "pol_"
	bindingPrefix  = "bind_"
	scopeTenant    = "tenant"
)

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,128}$`)

// isName reports whether s can be a policy's name, or its id.
func isName(s string) bool { return namePattern.MatchString(s) && s != "." && s != ".." }

// isOwnID reports whether a name could be taken for a policy's id.
func isOwnID(name string) bool {
	return len(name) == len(policyPrefix)+idLength && strings.HasPrefix(name, policyPrefix)
}

// checkText checks what of a policy is not a rule: 422 validation_error.
func checkText(name, description, scope string) error {
	fields := map[string]string{}
	switch {
	case !isName(name):
		fields["name"] = "1 to 128 of a-z, A-Z, 0-9, dot, underscore and hyphen, and not . or .."
	case isOwnID(name):
		fields["name"] = "must not look like a policy's id"
	}
	if len(description) > MaxDescription || !isText(description) {
		fields["description"] = fmt.Sprintf("at most %d bytes of text", MaxDescription)
	}
	if scope != scopeTenant {
		fields["scope"] = "must be tenant: policies of a whole partner are not served"
	}
	return invalidFields(fields)
}

func isText(s string) bool { return utf8.ValidString(s) && !strings.ContainsRune(s, 0) }

func invalidFields(fields map[string]string) error {
	if len(fields) == 0 {
		return nil
	}
	return fault.Validation(fields)
}

func invalidRule(code, field string, err error) *fault.Error {
	return fault.Invalid(code, "%s: %v", field, err).With("field", field)
}

// checkRules says what is wrong with rules: invalid_policy or invalid_glob with details.field.
func checkRules(rules []vaultapi.Rule) error {
	switch {
	case len(rules) == 0:
		return invalidRule(fault.CodeInvalidPolicy, "rules", errors.New("at least one rule is needed"))
	case len(rules) > MaxRules:
		return invalidRule(fault.CodeInvalidPolicy, "rules", fmt.Errorf("a policy has at most %d rules", MaxRules))
	}
	for i, r := range rules {
		if len(r.Permissions) > maxPermissions {
			field := fmt.Sprintf("rules[%d].permissions", i)
			return invalidRule(fault.CodeInvalidPolicy, field, fmt.Errorf("at most %d permissions", maxPermissions))
		}
	}
	converted, err := convertRules(rules)
	if err != nil {
		return err
	}
	return ruleFault(policy.Check(converted))
}

// ruleFault tells a caller what the evaluator found.
func ruleFault(err error) error {
	if err == nil {
		return nil
	}
	var broken *policy.RuleError
	if !errors.As(err, &broken) {
		return fault.Internal(err, "check rules")
	}
	f := invalidRule(broken.Code, fmt.Sprintf("rules[%d].%s", broken.Rule, broken.Field), broken.Err)
	var pattern *policy.PatternError
	if errors.As(err, &pattern) {
		f = f.With("position", pattern.Position).With("rule", pattern.Rule)
	}
	return f
}

// convertRules turns wire rules into the evaluator's. The error is invalid_policy with details.field.
func convertRules(rules []vaultapi.Rule) ([]policy.Rule, error) {
	converted := make([]policy.Rule, len(rules))
	for i, r := range rules {
		permissions := make([]policy.Permission, len(r.Permissions))
		for j, p := range r.Permissions {
			permissions[j] = policy.Permission(p)
		}
		conditions, field, err := convertConditions(r.Conditions)
		if err != nil {
			return nil, invalidRule(fault.CodeInvalidPolicy, fmt.Sprintf("rules[%d].conditions.%s", i, field), err)
		}
		converted[i] = policy.Rule{Pattern: r.PathPattern, Permissions: permissions, Conditions: conditions}
	}
	return converted, nil
}

// convertConditions returns the name of the condition that is wrong. A list that is given but empty
// is refused, because it can be read as "any" and as "none".
func convertConditions(c *vaultapi.Conditions) (*policy.Conditions, string, error) {
	if c == nil {
		return nil, "", nil
	}
	converted := &policy.Conditions{RequireMFA: c.RequireMFA}
	if c.IPRanges != nil && (len(c.IPRanges) == 0 || len(c.IPRanges) > MaxIPRanges) {
		return nil, "ip_ranges", fmt.Errorf("1 to %d ranges; leave it out to allow every address", MaxIPRanges)
	}
	for i, text := range c.IPRanges {
		prefix, err := policy.ParseIPRange(text)
		if err != nil {
			return nil, fmt.Sprintf("ip_ranges[%d]", i), err
		}
		converted.IPRanges = append(converted.IPRanges, prefix)
	}
	if w := c.TimeWindow; w != nil {
		window, err := policy.NewTimeWindow(w.Days, w.Start, w.End, w.Timezone)
		if err != nil {
			return nil, "time_window", err
		}
		converted.TimeWindow = window
	}
	return converted, "", nil
}

// identityType infers the type of an identity from its prefix; "" when it has none of those that
// policies can be bound to.
func identityType(id string) string {
	prefix, rest, _ := strings.Cut(id, ":")
	if rest == "" {
		return ""
	}
	return map[string]string{
		"user": guard.TypeUser, "sa": guard.TypeServiceAccount, "group": guard.TypeGroup,
	}[prefix]
}

var identityPattern = regexp.MustCompile(`^[!-~]+$`)

// checkIdentity completes the type and checks the two against each other: 422 validation_error.
func checkIdentity(kind, id string) (string, error) {
	inferred := identityType(id)
	switch {
	case inferred == "":
		return "", invalidFields(map[string]string{"identity_id": "must begin with user:, sa: or group:, such as sa:billing-prod"})
	case len(id) > MaxIdentity || !identityPattern.MatchString(id):
		return "", invalidFields(map[string]string{"identity_id": fmt.Sprintf("at most %d printable characters without blanks", MaxIdentity)})
	case strings.ContainsAny(id, "*?{}"):
		return "", invalidFields(map[string]string{"identity_id": "names one identity: wildcards are not understood here"})
	case kind != "" && kind != inferred:
		return "", invalidFields(map[string]string{"identity_type": fmt.Sprintf("%s names a %s", id, inferred)})
	}
	return inferred, nil
}
