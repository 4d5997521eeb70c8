package rotation

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	permission "github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// Book keeps assignments and their jobs. The domain of secrets tells it, in its own transactions, what happens to
// secrets that are under a policy.
type Book struct {
	db    *store.DB
	guard *guard.Guard
	queue *jobs.Queue
	plans plans
}

// NewBook makes a book. Service fires what is in it.
func NewBook(db *store.DB, g *guard.Guard, q *jobs.Queue) *Book {
	return &Book{db: db, guard: g, queue: q, plans: plans{known: map[planKey]knownPlan{}}}
}

// held is an assignment that a transaction holds, with its policy.
type held struct {
	*assignment
	policy policy
	timing timing
}

// hold locks an assignment; nil where there is none.
func (b *Book) hold(c *guard.Call, path string) (*held, error) {
	a, err := scanAssignment(c.Tx.QueryRow(findAssignment+b.db.ForUpdate(), c.Who.Tenant, path))
	if a == nil || err != nil {
		return nil, err
	}
	p, err := b.policyOf(c.Tx.QueryRow, c.Who.Tenant, a.policyID)
	if fault.Is(err, fault.CodeRotationPolicyNotFound) { // it is being deleted
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return b.timed(c.Who.Tenant, a, p)
}

func (b *Book) timed(tenant string, a *assignment, p policy) (*held, error) {
	plan, err := b.plans.of(tenant, p)
	if err != nil {
		return nil, err
	}
	return &held{a, p, timing{Plan: plan, offset: plan.Offset(tenant, a.path), generates: p.settings.AutoGenerate, active: p.active}}, nil
}

type queryRow func(query string, args ...any) *sql.Row

func (b *Book) policyOf(query queryRow, tenant, ref string) (policy, error) {
	if !isName(ref) {
		return policy{}, policyNotFound(ref)
	}
	return maybePolicy(query(lockPolicy, tenant, ref), ref)
}

// keep stores an assignment and when its job is due.
func (b *Book) keep(c *guard.Call, h *held) error {
	if err := save(c.Tx, c.Who.Tenant, h.assignment); err != nil {
		return err
	}
	wake := h.timing.wake(h.assignment)
	if wake.IsZero() {
		return b.queue.Cancel(c.Tx, kindSecret, c.Who.Tenant, h.path)
	}
	return b.queue.Schedule(c.Tx, kindSecret, c.Who.Tenant, h.path, wake)
}

// begin puts a path under a policy; base is when its newest version was made. On a path that is under the policy
// already only who attached it changes.
func (b *Book) begin(c *guard.Call, p policy, path string, base time.Time) (*held, error) {
	a, err := scanAssignment(c.Tx.QueryRow(findAssignment+b.db.ForUpdate(), c.Who.Tenant, path))
	if err != nil {
		return nil, err
	}
	fresh := a == nil
	if fresh {
		a = &assignment{path: path, policyID: p.id, created: c.Now().UnixMicro(), base: base.UnixMicro()}
	}
	if a.policyID != p.id {
		by, err := b.policyOf(c.Tx.QueryRow, c.Who.Tenant, a.policyID)
		if err != nil {
			return nil, err
		}
		return nil, alreadyAssigned(path, by)
	}
	if err := a.attachedAs(c.Who); err != nil {
		return nil, err
	}
	h, err := b.timed(c.Who.Tenant, a, p)
	if err != nil {
		return nil, err
	}
	c.Note("rotation_policy_id", p.id)
	if !fresh {
		return h, save(c.Tx, c.Who.Tenant, a)
	}
	h.timing.first(a, c.Now())
	return h, b.keep(c, h)
}

// end takes a path from its policy.
func (b *Book) end(c *guard.Call, path string) error {
	if _, err := c.Tx.Exec(removeAssignment, c.Who.Tenant, path); err != nil {
		return fmt.Errorf("remove rotation assignment of %s: %w", path, err)
	}
	return b.queue.Cancel(c.Tx, kindSecret, c.Who.Tenant, path)
}

// Attach is a write that names a rotation policy, or "" for a secret that is gone for good. Whoever may write the
// secret and rotate it may put it under a policy that nobody owns.
func (b *Book) Attach(c *guard.Call, path, ref string) (string, error) {
	if ref == "" {
		return "", b.end(c, path)
	}
	p, err := b.policyOf(c.Tx.QueryRow, c.Who.Tenant, ref)
	if err != nil {
		return "", err
	}
	if _, err := b.guard.Check(c.Tx.Context(), c.Who, guard.Access{Action: ActionAttach, Permission: permission.Rotate, Path: path}, 0); err != nil {
		return "", err
	}
	if p.owner != "" && !ownNamespace(c.Who, p.owner) {
		return "", p.owned().MayEdit(c.Who, "")
	}
	h, err := b.begin(c, p, path, c.Now())
	if err != nil {
		return "", err
	}
	return h.policyID, nil
}

// Live suspends the rotation of a secret that was deleted so that it can be restored, and resumes it when it is back.
func (b *Book) Live(c *guard.Call, path string, live bool) error {
	h, err := b.hold(c, path)
	if h == nil || err != nil {
		return err
	}
	if live {
		h.timing.resume(h.assignment)
	} else {
		h.suspend()
	}
	return b.keep(c, h)
}

// Written is a version that a caller wrote: the rotation, where one was waited for.
func (b *Book) Written(c *guard.Call, path string, version int64) (rotation bool, retire time.Time, err error) {
	h, err := b.hold(c, path)
	if h == nil || err != nil {
		return false, time.Time{}, err
	}
	if h.timing.generates || !h.open() {
		if h.state != vaultapi.RotationSuspended {
			return false, time.Time{}, nil
		}
		h.base = c.Now().UnixMicro() // it had expired: what was due of the old value is past
		h.timing.first(h.assignment, c.Now())
		h.timing.resume(h.assignment)
		return false, time.Time{}, b.keep(c, h)
	}
	d := done{old: version - 1, now: version, reason: h.reason}
	if err := b.complete(c, h, &d); err != nil {
		return false, time.Time{}, err
	}
	return true, d.graceEnds, b.keep(c, h)
}

// attachedAs notes who attached, whose rights are asked again when an owned policy fires.
func (a *assignment) attachedAs(who guard.Caller) error {
	text, err := json.Marshal(identity{who.Type, who.ID, who.Groups, who.Cluster, who.Namespace})
	a.attachedBy, a.identity = who.ID, string(text)
	return err
}

// identity is what of a caller outlives the call.
type identity struct {
	Type      string   `json:"type"`
	ID        string   `json:"id"`
	Groups    []string `json:"groups,omitempty"`
	Cluster   string   `json:"cluster,omitempty"`
	Namespace string   `json:"namespace,omitempty"`
}

// attacher is who attached, as far as it is known now.
func (a *assignment) attacher(tenant string) (guard.Caller, error) {
	var i identity
	if err := json.Unmarshal([]byte(a.identity), &i); err != nil {
		return guard.Caller{}, fmt.Errorf("identity of the assignment of %s: %w", a.path, err)
	}
	if i.Type == guard.TypeSystem {
		return guard.Caller{}, errors.New("a system identity cannot have attached a secret")
	}
	return guard.Caller{Tenant: tenant, Type: i.Type, ID: i.ID, Groups: i.Groups, Cluster: i.Cluster, Namespace: i.Namespace}, nil
}

// ownNamespace tells whether a policy was made for a RotationSchedule in the caller's own namespace.
func ownNamespace(who guard.Caller, owner string) bool {
	return who.Cluster != "" && who.Namespace != "" &&
		strings.HasPrefix(owner, "k8s:"+who.Cluster+"/RotationSchedule/"+who.Namespace+"/")
}

func (p policy) owned() guard.Owned {
	return guard.Owned{What: "rotation policy", Name: p.name, ID: p.id, Key: "policy_id", Owner: p.owner}
}

const never = math.MaxInt64

// SecretPolicyUses counts the rotation policies that generate by a secret policy.
func (b *Book) SecretPolicyUses(c *guard.Call, id string) (int64, error) {
	var n int64
	const query = `SELECT COUNT(*) FROM rotation_policies WHERE tenant = $1 AND deleted_at IS NULL AND secret_policy_id = $2`
	if err := c.Tx.QueryRow(query, c.Who.Tenant, id).Scan(&n); err != nil {
		return 0, fmt.Errorf("uses of secret policy %s: %w", id, err)
	}
	return n, nil
}

// DropSecretPolicy takes nothing away: a rotation policy without its recipe would make values of another kind.
func (b *Book) DropSecretPolicy(*guard.Call, string) error { return nil }
