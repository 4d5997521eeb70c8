package secrets

import (
	"context"
	"errors"
	"strings"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// maxExpanded is how many secrets the globs of one batch may stand for.
const maxExpanded = 1000

const wildcards = "*?{"

// expand puts in place of each glob the paths it covers, as far as the caller may list them. A glob that
// cannot be expanded is left out, with its error. Each is recorded as a list.
func (s *Service) expand(ctx context.Context, who guard.Caller, in []string) (paths []string, failed map[string]error, err error) {
	failed = map[string]error{}
	for _, text := range in {
		if !strings.ContainsAny(text, wildcards) {
			paths = append(paths, text)
			continue
		}
		covered, err := s.covered(ctx, who, text, maxExpanded-len(paths))
		if err != nil && fault.From(err).Kind != fault.KindInvalid {
			return nil, nil, err
		}
		if err != nil {
			failed[text] = err
		}
		paths = append(paths, covered...)
	}
	return paths, failed, nil
}

// covered lists the secrets that a glob covers, at most limit.
func (s *Service) covered(ctx context.Context, who guard.Caller, glob string, limit int) ([]string, error) {
	a := guard.Access{Action: ActionList, Scope: ScopeList}
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) ([]string, error) {
		pattern, err := parseGlob(glob)
		if err != nil {
			return nil, err
		}
		c.Note("pattern", glob)
		w := &window{tenant: who.Tenant, limit: limit, now: c.Now()}
		w.prefix = strings.TrimSuffix(glob[:strings.IndexAny(glob, wildcards)], "/")
		may, ranges, err := s.guard.Allowed(ctx, who, policy.List, policy.ClassSecrets)
		if err != nil {
			return nil, err
		}
		w.ranges, w.allowed = ranges, func(path string) bool { return pattern.Match(path, who.Namespace) && may(path) }
		if err := s.scanPaths(ctx, w); err != nil {
			return nil, err
		}
		if w.full() || w.stopped != "" {
			return nil, invalid("paths", "this glob covers too many secrets for one batch: list them by prefix")
		}
		c.Note("returned", len(w.page))
		return w.paths(), nil
	})
}

func parseGlob(glob string) (policy.Pattern, error) {
	pattern, err := policy.ParsePattern(glob)
	if err == nil && pattern.Class() == policy.ClassSecrets {
		return pattern, nil
	}
	rule := "only secrets of the tenant can be listed"
	var bad *policy.PatternError
	if errors.As(err, &bad) {
		rule = bad.Rule
	}
	return policy.Pattern{}, fault.Invalid(fault.CodeInvalidGlob, "pattern %.64q: %s", glob, rule)
}
