package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/rotation"
	"github.com/scailabs/scaivault/server/secrets"
)

type rotationHandlers struct{ service *rotation.Service }

func rotationRoutes(h rotationHandlers) []route {
	const (
		all     = "/v1/rotation/policies"
		one     = "/v1/rotation/policies/{id}"
		members = "/v1/rotation/policies/{id}/secrets"
		member  = members + "/" + secretWildcard
		admin   = rotation.ScopeAdmin
	)
	return []route{
		{method: http.MethodGet, pattern: all, id: "listRotationPolicies", summary: "List rotation policies",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyList, endpoint: handle(h.list)},
		{method: http.MethodPost, pattern: all, id: "createRotationPolicy", summary: "Make a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyCreate, status: http.StatusCreated, endpoint: handle(h.create)},
		{method: http.MethodGet, pattern: one, id: "readRotationPolicy", summary: "Read a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyRead, endpoint: handle(h.read)},
		{method: http.MethodPatch, pattern: one, id: "patchRotationPolicy", summary: "Change the given fields of a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyUpdate, endpoint: handle(h.patch)},
		{method: http.MethodDelete, pattern: one, id: "deleteRotationPolicy", summary: "Delete a rotation policy and detach its secrets",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyDelete, status: http.StatusNoContent, endpoint: handle(h.delete)},
		{method: http.MethodPost, pattern: one + "/enable", id: "enableRotationPolicy", summary: "End the pause of a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyUpdate, endpoint: handle(h.enable)},
		{method: http.MethodPost, pattern: one + "/disable", id: "disableRotationPolicy", summary: "Pause a rotation policy; its secrets stay assigned",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionPolicyUpdate, endpoint: handle(h.disable)},
		{method: http.MethodGet, pattern: members, id: "listAssignments", summary: "List the secrets of a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionAssignmentList, endpoint: handle(h.assignments)},
		{method: http.MethodPost, pattern: members, id: "attachSecret", summary: "Put a secret under a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionAttach, status: http.StatusCreated, endpoint: handle(h.attach)},
		{method: http.MethodDelete, pattern: member, id: "detachSecret", summary: "Take a secret from a rotation policy",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionDetach, status: http.StatusNoContent, endpoint: handle(h.detach)},
		{method: http.MethodPut, pattern: member + suffixGrace, id: "moveGrace", summary: "Move the time at which a previous version stops being readable",
			group: groupRotation, scope: admin, rate: rateRotation, action: rotation.ActionGrace, endpoint: handle(h.grace)},
		{method: http.MethodPost, pattern: one + "/rotate", id: "rotatePolicy", summary: "Rotate secrets of a policy now",
			group: groupRotation, scope: rotation.ScopeRotate, rate: rateRotation, action: rotation.ActionRotate, endpoint: handle(h.rotate)},
		{method: http.MethodGet, pattern: one + "/history", id: "rotationHistory", summary: "List the rotations of a policy, newest first",
			group: groupRotation, scope: rotation.ScopeHistory, rate: rateRotation, action: rotation.ActionHistory, endpoint: handle(h.history)},
		{method: http.MethodGet, pattern: "/v1/rotation/due", id: "listDue", summary: "List what must be rotated, the longest overdue first",
			group: groupRotation, scope: rotation.ScopeRotate, rate: rateRotation, action: rotation.ActionDue, endpoint: handle(h.due)},
		{method: http.MethodGet, pattern: "/v1/rotation/pending", id: "listPending", summary: "The same as /v1/rotation/due; deprecated",
			group: groupRotation, scope: rotation.ScopeRotate, rate: rateRotation, action: rotation.ActionDue, endpoint: handle(h.due)},
		{method: http.MethodPost, pattern: "/v1/secrets/" + secretWildcard + suffixRotate, id: "rotateSecret", summary: "Rotate a secret now",
			group: groupSecrets, scope: rotation.ScopeRotate, rate: rateWriteSecrets, action: rotation.ActionRotate,
			alsoStatus: []int{http.StatusAccepted}, endpoint: handle(h.rotateSecret).withStatus(rotateStatus)},
	}
}

type rotationListInput struct {
	ActiveOnly bool   `query:"active_only"`
	Owner      string `query:"owner" description:"all of an owner, or its leading parts such as k8s:home"`
	Limit      int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor     string `query:"cursor"`
}

func (h rotationHandlers) list(ctx context.Context, c *call, in rotationListInput) (vaultapi.RotationPolicyList, error) {
	return h.service.Policies(ctx, c.who, rotation.PolicyQuery{ActiveOnly: in.ActiveOnly, Owner: in.Owner, Limit: in.Limit, Cursor: in.Cursor})
}

type rotationCreateInput struct{ Body vaultapi.RotationPolicyWrite }

func (h rotationHandlers) create(ctx context.Context, c *call, in rotationCreateInput) (vaultapi.RotationPolicy, error) {
	return h.service.CreatePolicy(ctx, c.who, in.Body)
}

type rotationInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h rotationHandlers) read(ctx context.Context, c *call, in rotationInput) (vaultapi.RotationPolicy, error) {
	return h.service.Policy(ctx, c.who, in.ID)
}

type rotationPatchInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.RotationPolicyPatch
}

func (h rotationHandlers) patch(ctx context.Context, c *call, in rotationPatchInput) (vaultapi.RotationPolicy, error) {
	return h.service.PatchPolicy(ctx, c.who, in.ID, in.Body)
}

type rotationOwnedInput struct {
	ID    string `path:"id" description:"id or name"`
	Owner string `query:"owner" description:"who asks, where the policy is owned"`
}

func (h rotationHandlers) delete(ctx context.Context, c *call, in rotationOwnedInput) (nothing, error) {
	return nothing{}, h.service.DeletePolicy(ctx, c.who, in.ID, in.Owner)
}

func (h rotationHandlers) enable(ctx context.Context, c *call, in rotationOwnedInput) (vaultapi.RotationPolicy, error) {
	return h.service.SetActive(ctx, c.who, in.ID, in.Owner, true)
}

func (h rotationHandlers) disable(ctx context.Context, c *call, in rotationOwnedInput) (vaultapi.RotationPolicy, error) {
	return h.service.SetActive(ctx, c.who, in.ID, in.Owner, false)
}

type assignmentsInput struct {
	ID     string `path:"id" description:"id or name"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h rotationHandlers) assignments(ctx context.Context, c *call, in assignmentsInput) (vaultapi.RotationAssignmentList, error) {
	return h.service.Assignments(ctx, c.who, in.ID, rotation.AssignmentQuery{Limit: in.Limit, Cursor: in.Cursor})
}

type attachInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.RotationAttach
}

func (h rotationHandlers) attach(ctx context.Context, c *call, in attachInput) (vaultapi.RotationAssignment, error) {
	path, err := secrets.ParsePath(in.Body.SecretPath)
	if err != nil {
		return vaultapi.RotationAssignment{}, err
	}
	return h.service.Attach(ctx, c.who, in.ID, path.String())
}

type memberInput struct {
	ID   string       `path:"id" description:"id or name"`
	Path secrets.Path `path:"path"`
}

func (h rotationHandlers) detach(ctx context.Context, c *call, in memberInput) (nothing, error) {
	return nothing{}, h.service.Detach(ctx, c.who, in.ID, in.Path.String())
}

type graceInput struct {
	ID   string       `path:"id" description:"id or name"`
	Path secrets.Path `path:"path"`
	Body vaultapi.RotationGrace
}

func (h rotationHandlers) grace(ctx context.Context, c *call, in graceInput) (vaultapi.RotationAssignment, error) {
	return h.service.Grace(ctx, c.who, in.ID, in.Path.String(), in.Body)
}

type rotatePolicyInput struct {
	ID   string `path:"id" description:"id or name"`
	Body vaultapi.PolicyRotation
}

func (h rotationHandlers) rotate(ctx context.Context, c *call, in rotatePolicyInput) ([]vaultapi.RotationHistoryItem, error) {
	for _, path := range in.Body.SecretPaths {
		if _, err := secrets.ParsePath(path); err != nil {
			return nil, err
		}
	}
	return h.service.RotatePolicy(ctx, c.who, in.ID, in.Body)
}

type historyInput struct {
	ID     string `path:"id" description:"id or name"`
	Status string `query:"status" enum:"success,failed,pending"`
	Limit  int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor string `query:"cursor"`
}

func (h rotationHandlers) history(ctx context.Context, c *call, in historyInput) (vaultapi.RotationHistory, error) {
	return h.service.History(ctx, c.who, in.ID, rotation.HistoryQuery{Status: in.Status, Limit: in.Limit, Cursor: in.Cursor})
}

type dueInput struct {
	WithinHours    int64  `query:"within_hours" default:"24" minimum:"0" maximum:"87600"`
	IncludeOverdue bool   `query:"include_overdue" default:"true"`
	PolicyID       string `query:"policy_id" description:"id or name"`
	Limit          int    `query:"limit" default:"100" minimum:"1" maximum:"1000"`
	Cursor         string `query:"cursor"`
}

func (h rotationHandlers) due(ctx context.Context, c *call, in dueInput) (vaultapi.RotationDueList, error) {
	return h.service.Due(ctx, c.who, rotation.DueQuery{
		Within: time.Duration(in.WithinHours) * time.Hour, IncludeOverdue: in.IncludeOverdue, PolicyID: in.PolicyID, Limit: in.Limit, Cursor: in.Cursor,
	})
}

type rotateSecretInput struct {
	Path secrets.Path `path:"path"`
	Body vaultapi.SecretRotation
}

func (h rotationHandlers) rotateSecret(ctx context.Context, c *call, in rotateSecretInput) (vaultapi.SecretRotated, error) {
	return h.service.RotateSecret(ctx, c.who, in.Path.String(), in.Body)
}

// rotateStatus: 202 where somebody has to write (contract OC-12).
func rotateStatus(r vaultapi.SecretRotated) int {
	if r.Status == rotation.StatusPending {
		return http.StatusAccepted
	}
	return http.StatusOK
}
