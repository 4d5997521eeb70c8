package client

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Rotation are the calls under /v1/rotation (contract section 6). The id of a policy may be its name.
type Rotation struct{ c *Client }

const rotationPolicies = "/rotation/policies"

// RotationPolicyFilter selects rotation policies.
type RotationPolicyFilter struct {
	ActiveOnly bool
	Owner      string // all of it, or leading parts such as k8s:home
	Limit      int
	Cursor     string
}

// DueFilter selects what must be rotated. Without ExcludeOverdue what should have been is among it.
type DueFilter struct {
	WithinHours    int64 // 0: 24
	ExcludeOverdue bool
	PolicyID       string
	Limit          int
	Cursor         string
}

// HistoryFilter selects rotations of a policy.
type HistoryFilter struct {
	Status string // success | failed | pending
	Limit  int
	Cursor string
}

// Policies returns one page of rotation policies.
func (r *Rotation) Policies(ctx context.Context, f RotationPolicyFilter) (*vaultapi.RotationPolicyList, error) {
	q := query{}
	q.flag("active_only", f.ActiveOnly)
	q.text("owner", f.Owner)
	q.page(f.Limit, f.Cursor)
	get := request{method: http.MethodGet, path: rotationPolicies, query: url.Values(q), repeat: true}
	return on[vaultapi.RotationPolicyList](ctx, r.c, get)
}

// CreatePolicy makes a rotation policy.
func (r *Rotation) CreatePolicy(ctx context.Context, w vaultapi.RotationPolicyWrite) (*vaultapi.RotationPolicy, error) {
	return on[vaultapi.RotationPolicy](ctx, r.c, request{method: http.MethodPost, path: rotationPolicies, body: w})
}

// Policy returns a rotation policy.
func (r *Rotation) Policy(ctx context.Context, id string) (*vaultapi.RotationPolicy, error) {
	return onID[vaultapi.RotationPolicy](ctx, r.c, rotationPolicies, id, "", request{method: http.MethodGet, repeat: true})
}

// PatchPolicy changes the fields given.
func (r *Rotation) PatchPolicy(ctx context.Context, id string, w vaultapi.RotationPolicyPatch) (*vaultapi.RotationPolicy, error) {
	patch := request{method: http.MethodPatch, body: w, repeat: true}
	return onID[vaultapi.RotationPolicy](ctx, r.c, rotationPolicies, id, "", patch)
}

// DeletePolicy removes a policy and detaches its secrets. owner says who asks, where the policy is owned.
func (r *Rotation) DeletePolicy(ctx context.Context, id, owner string) error {
	q := query{}
	q.text("owner", owner)
	return sendID(ctx, r.c, rotationPolicies, id, "", request{method: http.MethodDelete, query: url.Values(q)})
}

// EnablePolicy ends a pause.
func (r *Rotation) EnablePolicy(ctx context.Context, id, owner string) (*vaultapi.RotationPolicy, error) {
	return r.turn(ctx, id, owner, "/enable")
}

// DisablePolicy pauses a policy; its secrets stay assigned.
func (r *Rotation) DisablePolicy(ctx context.Context, id, owner string) (*vaultapi.RotationPolicy, error) {
	return r.turn(ctx, id, owner, "/disable")
}

func (r *Rotation) turn(ctx context.Context, id, owner, suffix string) (*vaultapi.RotationPolicy, error) {
	q := query{}
	q.text("owner", owner)
	post := request{method: http.MethodPost, query: url.Values(q), repeat: true}
	return onID[vaultapi.RotationPolicy](ctx, r.c, rotationPolicies, id, suffix, post)
}

// Assignments returns one page of the secrets of a policy, by path.
func (r *Rotation) Assignments(ctx context.Context, id string, limit int, cursor string) (*vaultapi.RotationAssignmentList, error) {
	q := query{}
	q.page(limit, cursor)
	get := request{method: http.MethodGet, query: url.Values(q), repeat: true}
	return onID[vaultapi.RotationAssignmentList](ctx, r.c, rotationPolicies, id, "/secrets", get)
}

// Attach puts a secret under a policy. Attaching to the same policy again changes nothing. The code of a path
// that is under another policy is secret_assigned.
func (r *Rotation) Attach(ctx context.Context, id, path string) (*vaultapi.RotationAssignment, error) {
	post := request{method: http.MethodPost, body: vaultapi.RotationAttach{SecretPath: path}, repeat: true}
	return onID[vaultapi.RotationAssignment](ctx, r.c, rotationPolicies, id, "/secrets", post)
}

// Detach takes a secret from a policy.
func (r *Rotation) Detach(ctx context.Context, id, path string) error {
	suffix, err := assigned(path)
	if err != nil {
		return err
	}
	return sendID(ctx, r.c, rotationPolicies, id, suffix, request{method: http.MethodDelete})
}

// Grace moves the time at which a previous version stops being readable.
func (r *Rotation) Grace(ctx context.Context, id, path string, w vaultapi.RotationGrace) (*vaultapi.RotationAssignment, error) {
	suffix, err := assigned(path)
	if err != nil {
		return nil, err
	}
	put := request{method: http.MethodPut, body: w, repeat: true}
	return onID[vaultapi.RotationAssignment](ctx, r.c, rotationPolicies, id, suffix+"/grace", put)
}

// assigned is the place of a path below a policy: one segment, slashes escaped (contract section 6.2).
func assigned(path string) (string, error) {
	escaped, err := escapedPath(path)
	if err != nil {
		return "", err
	}
	return "/secrets/" + strings.ReplaceAll(escaped, "/", "%2F"), nil
}

// RotatePolicy rotates secrets of a policy now; one item per path says what came of it.
func (r *Rotation) RotatePolicy(ctx context.Context, id string, w vaultapi.PolicyRotation) ([]vaultapi.RotationHistoryItem, error) {
	post := request{method: http.MethodPost, body: w}
	items, err := onID[[]vaultapi.RotationHistoryItem](ctx, r.c, rotationPolicies, id, "/rotate", post)
	if err != nil {
		return nil, err
	}
	return *items, nil
}

// History returns one page of the rotations of a policy, newest first.
func (r *Rotation) History(ctx context.Context, id string, f HistoryFilter) (*vaultapi.RotationHistory, error) {
	q := query{}
	q.text("status", f.Status)
	q.page(f.Limit, f.Cursor)
	get := request{method: http.MethodGet, query: url.Values(q), repeat: true}
	return onID[vaultapi.RotationHistory](ctx, r.c, rotationPolicies, id, "/history", get)
}

// Due returns one page of what must be rotated soon, the longest overdue first.
func (r *Rotation) Due(ctx context.Context, f DueFilter) (*vaultapi.RotationDueList, error) {
	q := query{}
	q.number("within_hours", f.WithinHours)
	q.text("policy_id", f.PolicyID)
	if f.ExcludeOverdue {
		q.text("include_overdue", "false")
	}
	q.page(f.Limit, f.Cursor)
	get := request{method: http.MethodGet, path: "/rotation/due", query: url.Values(q), repeat: true}
	return on[vaultapi.RotationDueList](ctx, r.c, get)
}
