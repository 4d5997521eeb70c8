// Package guard is the only door into domain code: it checks scope and policy, runs the work, and records
// the outcome. No entry, no answer: Do and Change return a value only once its audit entry is durable.
package guard

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/store"
)

// Access is what a call does, and to what.
type Access struct {
	Action     string            // audit action (contract section 11), such as "read"
	Scope      string            // scope the token must carry; "" where any token will do
	AltScopes  []string          // scopes that will do instead of Scope
	Permission policy.Permission // permission a policy must grant on Path; "" where the scope alone decides
	Class      policy.Class      // class of Path
	Path       string            // the path that is judged and audited; "" for calls without one
	Target     string            // id of what is touched when it is not a path, such as a policy's id
}

// Note is one fact of an audit entry's extra_data. Values of secrets have no place here.
type Note struct{ Key, Value string }

// Entry is one line of the audit trail (contract section 11).
type Entry struct {
	Tenant       string
	Time         time.Time
	Action       string
	IdentityType string
	IdentityID   string
	Path         string
	Target       string
	SourceIP     string
	UserAgent    string
	RequestID    string
	Success      bool
	Code         string // public error code when not successful
	Duration     time.Duration
	Count        int64 // of folded edge entries; 0 or 1 is one
	Notes        []Note
}

// Event is a change that subscribers may hear of (contract section 12.3). Data never holds a secret's value.
type Event struct {
	Tenant, Type, Path    string
	IdentityID, RequestID string
	Time                  time.Time
	Data                  json.RawMessage
	To                    []string // ids of webhooks that get it whatever they select; not part of what is delivered
}

// Recorder is the audit trail as the guard needs it.
type Recorder interface {
	// Append returns once every entry is durable.
	Append(ctx context.Context, entries ...Entry) error
	// Stage makes entries part of tx.
	Stage(tx *store.Tx, entries ...Entry)
}

// Emitter makes events part of a transaction.
type Emitter interface {
	Emit(tx *store.Tx, events ...Event) error
}

// Sets gives the compiled policies of a tenant, at least as new as revision atLeast (0: what is at hand),
// and the revision they are of.
type Sets interface {
	Set(ctx context.Context, tenant string, atLeast int64) (*policy.Set, int64, error)
}

// Guard decides and records. All fields but Glimpses are required.
type Guard struct {
	DB       *store.DB
	Audit    Recorder
	Events   Emitter
	Sets     Sets
	Now      func() time.Time
	Glimpses Glimpser // nil: nobody asks for calls that change nothing
}

// Call is one run of a use case. A change may run more than once (its transaction is retried alone when
// a neighbour fails), each time with a fresh Call.
type Call struct {
	Who    Caller
	Tx     *store.Tx // the change's transaction; nil in Do
	notes  []Note
	events []Event
	saw    int64
	now    time.Time
}

// Note adds a fact to the call's audit entry.
func (c *Call) Note(key string, value any) {
	c.notes = append(c.notes, Note{Key: key, Value: fmt.Sprint(value)})
}

// Saw tells the guard which policy revision the work's own query read, so that no second query is needed
// to know that the decision was fresh.
func (c *Call) Saw(revision int64) { c.saw = revision }

// Now is the time of the call, the same for all it writes.
func (c *Call) Now() time.Time { return c.now }

// Emit announces the change once it is committed. data must marshal to a JSON object.
func (c *Call) Emit(eventType, path string, data any) error {
	return c.EmitTo(nil, eventType, path, data)
}

// EmitTo is Emit, and the webhooks named by their ids get the event whatever they select.
func (c *Call) EmitTo(webhooks []string, eventType, path string, data any) error {
	raw, err := json.Marshal(data)
	if err != nil {
		return fault.Internal(err, "event %s", eventType)
	}
	c.events = append(c.events, Event{
		Tenant: c.Who.Tenant, Type: eventType, Path: path, IdentityID: c.Who.ID,
		RequestID: c.Who.RequestID, Time: c.now, Data: raw, To: webhooks,
	})
	return nil
}

// Do runs work that changes nothing, if who may. The value is the zero value unless the entry is durable.
func Do[T any](ctx context.Context, g *Guard, who Caller, a Access, work func(*Call) (T, error)) (T, error) {
	var zero T
	call := &Call{Who: who, now: g.Now()}
	value, err := judged(ctx, g, a, call, work)
	if rerr := g.Audit.Append(ctx, g.entry(a, call, err)); rerr != nil {
		return zero, unrecorded(rerr)
	}
	g.glimpse(a, call, err)
	if err != nil {
		return zero, mapped(err)
	}
	return value, nil
}

// judged decides, works, and decides again if the work saw newer policies than the decision did.
func judged[T any](ctx context.Context, g *Guard, a Access, call *Call, work func(*Call) (T, error)) (T, error) {
	var zero T
	revision, err := g.Check(ctx, call.Who, a, 0)
	if err != nil {
		return zero, err
	}
	value, err := work(call)
	if ferr := g.fresh(ctx, a, call, revision); ferr != nil {
		return zero, ferr
	}
	return value, err
}

// Outcome is what one path of a batch came to.
type Outcome[T any] struct {
	Path  string
	Value T
	Err   error
}

// DoMany is Do for each of the paths, with one wait for all their entries. The error is about the batch as
// a whole; what befell a path is in its outcome. work runs only for the allowed paths.
func DoMany[T any](ctx context.Context, g *Guard, who Caller, a Access, paths []string, work func(*Call, string) (T, error)) ([]Outcome[T], error) {
	out := make([]Outcome[T], len(paths))
	entries, calls := make([]Entry, len(paths)), make([]*Call, len(paths))
	for i, path := range paths {
		call, one := &Call{Who: who, now: g.Now()}, a
		one.Path, out[i].Path = path, path
		out[i].Value, out[i].Err = judged(ctx, g, one, call, func(c *Call) (T, error) { return work(c, path) })
		entries[i] = g.entry(one, call, out[i].Err)
		calls[i] = call
	}
	if err := g.Audit.Append(ctx, entries...); err != nil {
		return nil, unrecorded(err)
	}
	for i, call := range calls {
		one := a
		one.Path = out[i].Path
		g.glimpse(one, call, out[i].Err)
	}
	return out, nil
}

// Change runs work in a transaction that also holds its audit entry and its events, if who may.
// A refused or failed change leaves an entry of its own, unless the server itself found that a change was not to
// be made at all, because another replica had made it.
func Change[T any](ctx context.Context, g *Guard, who Caller, a Access, work func(*Call) (T, error)) (T, error) {
	var zero, value T
	start := g.Now()
	revision, err := g.Check(ctx, who, a, 0)
	if err == nil {
		err = g.DB.Update(ctx, func(tx *store.Tx) error {
			call := &Call{Who: who, Tx: tx, now: start}
			if err := g.freshIn(tx, a, call, revision); err != nil {
				return err
			}
			var werr error
			if value, werr = work(call); werr != nil {
				return werr
			}
			g.Audit.Stage(tx, g.entry(a, call, nil))
			return g.Events.Emit(tx, call.events...)
		})
	}
	if err == nil {
		return value, nil
	}
	if moot(who, err) {
		return zero, err
	}
	call := &Call{Who: who, now: start}
	if rerr := g.Audit.Append(ctx, g.entry(a, call, err)); rerr != nil {
		return zero, unrecorded(rerr)
	}
	g.glimpse(a, call, err)
	return zero, mapped(err)
}

// Check decides whether who may do a: scope first, then policy. It returns the policy revision it decided by.
// Forbidden paths look the same whether or not they exist (contract OC-24).
func (g *Guard) Check(ctx context.Context, who Caller, a Access, atLeast int64) (int64, error) {
	if err := checkScope(who, a); err != nil {
		return 0, err
	}
	if a.Permission == "" || who.unbound() {
		return 0, nil
	}
	set, revision, err := g.Sets.Set(ctx, who.Tenant, atLeast)
	if err != nil {
		return 0, fault.Unavailable(err, "policies cannot be read now")
	}
	d := set.Decide(policy.Request{Subject: who.Subject(g.Now()), Permission: a.Permission, Class: a.Class, Path: a.Path})
	if d.Allowed {
		return revision, nil
	}
	// A denial by an older set would last until somebody else brought the newer one in.
	newest, err := g.latest(ctx, who.Tenant)
	if err != nil {
		return revision, err
	}
	if newest > revision {
		return g.Check(ctx, who, a, newest)
	}
	return revision, denied(who, a, d)
}

// Allowed returns a filter for lists: whether who holds permission on a path of a class, by one policy revision.
func (g *Guard) Allowed(ctx context.Context, who Caller, p policy.Permission, c policy.Class) (func(path string) bool, []policy.Range, error) {
	if who.unbound() {
		return func(string) bool { return true }, []policy.Range{{}}, nil
	}
	atLeast, err := g.latest(ctx, who.Tenant)
	if err != nil {
		return nil, nil, err
	}
	set, _, err := g.Sets.Set(ctx, who.Tenant, atLeast)
	if err != nil {
		return nil, nil, fault.Unavailable(err, "policies cannot be read now")
	}
	sub := who.Subject(g.Now())
	return func(path string) bool {
		return set.Decide(policy.Request{Subject: sub, Permission: p, Class: c, Path: path}).Allowed
	}, set.Ranges(sub, p, c), nil
}

func checkScope(who Caller, a Access) error {
	if a.Scope == "" || who.Type == TypeSystem || who.HasScope(a.Scope) {
		return nil
	}
	for _, s := range a.AltScopes {
		if who.HasScope(s) {
			return nil
		}
	}
	return fault.Forbidden(fault.CodeInsufficientScope, "this call needs scope %s: use a token that carries it", a.Scope).
		With("required_scope", a.Scope)
}

func denied(who Caller, a Access, d policy.Decision) error {
	f := fault.Forbidden(d.Reason, "%s may not %s %s: no policy bound to it allows this; ask who holds policies:write", who.ID, a.Permission, a.Path).
		With("path", a.Path).With("permission", string(a.Permission))
	if d.FailedCondition != "" {
		f = f.With("failed_condition", d.FailedCondition)
	}
	return f
}

// fresh repeats the decision if policies changed since it was made. Where this process is the only writer
// the compiled set is replaced before the writer is answered, so it is never stale.
func (g *Guard) fresh(ctx context.Context, a Access, call *Call, decided int64) error {
	if decided == 0 || g.DB.Exclusive() {
		return nil
	}
	if call.saw == 0 {
		saw, err := g.latest(ctx, call.Who.Tenant)
		if err != nil {
			return err
		}
		call.saw = saw
	}
	return g.again(ctx, a, call, decided)
}

func (g *Guard) freshIn(tx *store.Tx, a Access, call *Call, decided int64) error {
	if decided == 0 || g.DB.Exclusive() {
		return nil
	}
	if err := tx.QueryRow(revisionQuery, call.Who.Tenant).Scan(&call.saw); err != nil {
		return fmt.Errorf("policy revision of %s: %w", call.Who.Tenant, err)
	}
	return g.again(tx.Context(), a, call, decided)
}

func (g *Guard) again(ctx context.Context, a Access, call *Call, decided int64) error {
	if call.saw <= decided {
		return nil
	}
	_, err := g.Check(ctx, call.Who, a, call.saw)
	return err
}

const revisionQuery = `SELECT policy_revision FROM tenants WHERE id = $1`

// latest is the tenant's policy revision where others may have changed it; 0 where this process is the only writer.
func (g *Guard) latest(ctx context.Context, tenant string) (int64, error) {
	if g.DB.Exclusive() {
		return 0, nil
	}
	var revision int64
	if err := g.DB.QueryRow(ctx, revisionQuery, tenant).Scan(&revision); err != nil {
		return 0, fault.Unavailable(err, "policies cannot be read now")
	}
	return revision, nil
}

func (g *Guard) entry(a Access, c *Call, err error) Entry {
	e := Entry{
		Tenant: c.Who.Tenant, Time: c.now, Action: a.Action, Path: a.Path, Target: a.Target,
		IdentityType: c.Who.Type, IdentityID: c.Who.ID, UserAgent: c.Who.UserAgent, RequestID: c.Who.RequestID,
		Success: err == nil, Code: fault.Code(mapped(err)), Duration: g.Now().Sub(c.now), Notes: c.notes,
	}
	if c.Who.SourceIP.IsValid() {
		e.SourceIP = c.Who.SourceIP.String()
	}
	return e
}
