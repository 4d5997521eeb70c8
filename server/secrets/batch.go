package secrets

import (
	"context"
	"slices"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// maxBatch is how many paths one call may name (contract section 4).
const maxBatch = 100

// Batch is what became of each path: it is in one of the two maps, unless fail_fast ended the batch before it.
type Batch[T any] struct {
	Secrets map[string]T
	Errors  map[string]error
}

// BatchRead reads up to 100 secrets, each judged and recorded for itself (contract section 4). Partial
// success is no error. With fail_fast the first path that fails, in the order given, ends the batch: its
// error is the only one, and what comes behind it is not read.
func (s *Service) BatchRead(ctx context.Context, who guard.Caller, in vaultapi.BatchRequest) (Batch[Secret], error) {
	a := guard.Access{Action: ActionRead, Scope: ScopeRead, Permission: policy.Read}
	version := in.Options.Version
	if err := s.checkBatch(ctx, who, a, in); err != nil {
		return Batch[Secret]{}, err
	}
	b := newBatching(who, a, in)
	allowed := s.allowed(ctx, b)
	b.cut(func(path string) bool { return allowed[path] })
	rows, revision, err := s.rows(ctx, who.Tenant, kept(b.paths, allowed), version)
	if err != nil {
		return refused[Batch[Secret]](ctx, s.guard, who, b.whole(), err)
	}
	now := s.guard.Now()
	b.cut(func(path string) bool { return readable(rows[path], path, version, now) == nil })
	return run(ctx, s.guard, b, func(c *guard.Call, path string) (Secret, error) {
		c.Saw(revision)
		return s.open(ctx, c, path, version, rows[path])
	})
}

// rows reads sealed versions of many paths, from memory where they are the newest and were read before.
func (s *Service) rows(ctx context.Context, tenant string, paths []string, version int64) (map[string]*sealedRow, int64, error) {
	found, tickets := make(map[string]*sealedRow, len(paths)), make(map[string]uint64, len(paths))
	var missing []string
	for _, path := range paths {
		row, ticket := s.cache.get(tenant, path)
		if row != nil && (version == 0 || version == row.newest) {
			found[path] = row
			continue
		}
		missing, tickets[path] = append(missing, path), ticket
	}
	read, revision, err := versionRows(ctx, s.db, tenant, missing, version)
	for path, row := range read {
		found[path] = row
		if row.info.Version == row.newest {
			s.cache.put(tenant, path, row, tickets[path])
		}
	}
	return found, revision, err
}

// BatchMetadata describes up to 100 secrets without their values, each judged and recorded for itself. With
// expand_wildcards a path may be a glob, which stands for the secrets it covers that the caller may list;
// the answer is keyed by their paths, or by the glob where it cannot be expanded.
func (s *Service) BatchMetadata(ctx context.Context, who guard.Caller, in vaultapi.BatchRequest) (Batch[vaultapi.SecretInfo], error) {
	a := guard.Access{Action: ActionMetadataRead, Scope: ScopeList, Permission: policy.List}
	if err := s.checkBatch(ctx, who, a, in); err != nil {
		return Batch[vaultapi.SecretInfo]{}, err
	}
	globs := map[string]error{}
	if in.ExpandWildcards {
		var err error
		if in.Paths, globs, err = s.expand(ctx, who, in.Paths); err != nil {
			return Batch[vaultapi.SecretInfo]{}, err
		}
	}
	b := newBatching(who, a, in)
	allowed := s.allowed(ctx, b)
	b.cut(func(path string) bool { return allowed[path] })
	found, revision, err := describe(ctx, s.db, who.Tenant, s.guard.Now(), kept(b.paths, allowed))
	if err != nil {
		return refused[Batch[vaultapi.SecretInfo]](ctx, s.guard, who, b.whole(), err)
	}
	for glob, err := range globs {
		b.malformed[glob] = err
	}
	return run(ctx, s.guard, b, func(c *guard.Call, path string) (vaultapi.SecretInfo, error) {
		c.Saw(revision)
		info, ok := found[path]
		if !ok {
			return info, notFound(path)
		}
		return info, nil
	})
}

// checkBatch refuses, and records, a batch that cannot be: a caller without the scope learns only that.
func (s *Service) checkBatch(ctx context.Context, who guard.Caller, a guard.Access, in vaultapi.BatchRequest) error {
	a.Permission = "" // no path, so the scope alone decides
	_, bad := s.guard.Check(ctx, who, a, 0)
	switch {
	case bad != nil:
	case len(in.Paths) == 0:
		bad = invalid("paths", "paths is required: 1 to %d paths", maxBatch)
	case len(in.Paths) > maxBatch:
		bad = invalid("paths", "%d paths; at most %d in one call", len(in.Paths), maxBatch)
	default:
		bad = checkVersion(in.Options.Version)
	}
	if bad == nil {
		return nil
	}
	_, err := refused[struct{}](ctx, s.guard, who, a, bad)
	return err
}

// allowed tells on which paths the call will be let through, so that only these are read.
func (s *Service) allowed(ctx context.Context, b *batching) map[string]bool {
	allowed, a := make(map[string]bool, len(b.paths)), b.access
	for _, path := range b.paths {
		a.Path = path
		_, err := s.guard.Check(ctx, b.who, a, 0)
		allowed[path] = err == nil
	}
	return allowed
}

func kept(paths []string, keep map[string]bool) []string {
	return slices.DeleteFunc(slices.Clone(paths), func(path string) bool { return !keep[path] })
}

// batching is a batch under way: the paths to work on, each once, and those that are none.
type batching struct {
	who       guard.Caller
	access    guard.Access // to each path
	paths     []string
	malformed map[string]error
	failFast  bool
}

func newBatching(who guard.Caller, a guard.Access, in vaultapi.BatchRequest) *batching {
	b := &batching{who: who, access: a, malformed: map[string]error{}, failFast: in.Options.FailFast}
	seen := make(map[string]bool, len(in.Paths))
	for _, text := range in.Paths {
		if seen[text] {
			continue
		}
		seen[text] = true
		if _, err := ParsePath(text); err == nil {
			b.paths = append(b.paths, text)
			continue
		} else if b.malformed[text] = err; b.failFast {
			break
		}
	}
	return b
}

// cut ends a batch that fails fast behind the first path that is not well.
func (b *batching) cut(well func(path string) bool) {
	if !b.failFast {
		return
	}
	if i := slices.IndexFunc(b.paths, func(path string) bool { return !well(path) }); i >= 0 {
		b.paths, b.malformed = b.paths[:i+1], nil
	}
}

// whole is access to no path in particular, which the scope alone decides.
func (b *batching) whole() guard.Access {
	return guard.Access{Action: b.access.Action, Scope: b.access.Scope}
}

// run works on the paths of a batch and gathers the outcomes.
func run[T any](ctx context.Context, g *guard.Guard, b *batching, work func(*guard.Call, string) (T, error)) (Batch[T], error) {
	out := Batch[T]{Secrets: make(map[string]T, len(b.paths)), Errors: map[string]error{}}
	for path, err := range b.malformed {
		out.Errors[path] = err
	}
	if len(b.paths) == 0 {
		return guard.Do(ctx, g, b.who, b.whole(), func(c *guard.Call) (Batch[T], error) {
			c.Note("malformed", len(b.malformed))
			return out, nil
		})
	}
	outcomes, err := guard.DoMany(ctx, g, b.who, b.access, b.paths, work)
	if err != nil {
		return Batch[T]{}, err
	}
	for _, o := range outcomes {
		switch {
		case o.Err == nil:
			out.Secrets[o.Path] = o.Value
		case b.failFast:
			out.Errors = map[string]error{o.Path: o.Err}
			return out, nil
		default:
			out.Errors[o.Path] = o.Err
		}
	}
	return out, nil
}
