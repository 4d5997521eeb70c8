package rotation

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Statuses of a history item.
const (
	statusSuccess = "success"
	statusFailed  = "failed"
	statusPending = "pending"
)

const (
	historyColumns = `id, policy_id, path, status, reason, identity, old_version, new_version, grace_ends, error_code, error_message, attempt,
 retry_at, due_at, created_at`
	insertHistory = `INSERT INTO rotation_history (tenant, ` + historyColumns + `)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16)`
	endHistory = `UPDATE rotation_history SET status = 'success', reason = $3, identity = $4, old_version = $5, new_version = $6, grace_ends = $7,
 created_at = $8 WHERE tenant = $1 AND id = $2`
	pageHistory = `SELECT ` + historyColumns + ` FROM rotation_history WHERE tenant = $1 AND policy_id = $2 AND ($3 = '' OR status = $3)
 AND (created_at < $4 OR created_at = $4 AND id < $5) ORDER BY created_at DESC, id DESC LIMIT $6`
)

// record is a row of rotation_history; times are microseconds.
type record struct {
	id, policyID, path, status, reason, identity string
	old, now                                     int64
	graceEnds                                    *int64
	code, message                                string
	attempt                                      int64
	retry, due                                   *int64
	created                                      int64
}

func (r *record) add(c *guard.Call) error {
	_, err := c.Tx.Exec(insertHistory, c.Who.Tenant, r.id, r.policyID, r.path, r.status, r.reason, r.identity, r.old, r.now, r.graceEnds,
		r.code, r.message, r.attempt, r.retry, r.due, r.created)
	if err != nil {
		return fmt.Errorf("history of %s: %w", r.path, err)
	}
	return nil
}

func scanRecord(row scanner) (record, error) {
	var r record
	err := row.Scan(&r.id, &r.policyID, &r.path, &r.status, &r.reason, &r.identity, &r.old, &r.now, &r.graceEnds, &r.code, &r.message,
		&r.attempt, &r.retry, &r.due, &r.created)
	return r, err
}

func (r *record) wire() vaultapi.RotationHistoryItem {
	w := vaultapi.RotationHistoryItem{
		ID: r.id, Path: r.path, PolicyID: r.policyID, Status: r.status, Reason: r.reason, IdentityID: r.identity,
		OldVersion: r.old, NewVersion: r.now, GracePeriodEnds: vaultapi.MaybeAt(r.graceEnds), Attempt: r.attempt,
		RetryAt: vaultapi.MaybeAt(r.retry), DueAt: vaultapi.MaybeAt(r.due), Timestamp: vaultapi.AtMicros(r.created),
	}
	if r.code != "" {
		w.Error = &vaultapi.BatchError{Code: r.code, Message: r.message}
	}
	return w
}

// made is a new item about an assignment as it is.
func (h *held) made(c *guard.Call, status string) record {
	due := h.due
	return record{
		id: newID(historyPrefix), policyID: h.policyID, path: h.path, status: status, reason: h.why(),
		identity: c.Who.ID, due: &due, created: c.Now().UnixMicro(),
	}
}

// why is the reason of a rotation that is not done yet.
func (h *held) why() string {
	if h.reason != "" {
		return h.reason
	}
	return reasonScheduled
}

// asked records that somebody has to write.
func (b *Book) asked(c *guard.Call, h *held) error {
	r := h.made(c, statusPending)
	h.pending = r.id
	return r.add(c)
}

// succeeded records a rotation: the item that waited for it becomes it.
func (b *Book) succeeded(c *guard.Call, h *held, d *done) error {
	if d.reason == "" {
		d.reason = reasonScheduled
	}
	ends := d.graceEnds.UnixMicro()
	if h.pending == "" {
		r := h.made(c, statusSuccess)
		r.reason, r.old, r.now, r.graceEnds = d.reason, d.old, d.now, &ends
		d.id = r.id
		return r.add(c)
	}
	_, err := c.Tx.Exec(endHistory, c.Who.Tenant, h.pending, d.reason, c.Who.ID, d.old, d.now, ends, c.Now().UnixMicro())
	if err != nil {
		return fmt.Errorf("history of %s: %w", h.path, err)
	}
	return nil
}

func (b *Book) attemptFailed(c *guard.Call, h *held) error {
	r := h.made(c, statusFailed)
	r.code, r.message, r.attempt, r.retry = h.code, h.message, h.failures, h.retry
	return r.add(c)
}

// HistoryQuery selects rotations of a policy.
type HistoryQuery struct {
	Status string // success | failed | pending; "": all
	Limit  int
	Cursor string
}

// History lists the rotations of a policy, newest first. Scope audit:read. Errors: rotation_policy_not_found, invalid_cursor.
func (s *Service) History(ctx context.Context, who guard.Caller, ref string, q HistoryQuery) (vaultapi.RotationHistory, error) {
	a := guard.Access{Action: ActionHistory, Scope: ScopeHistory}
	if isName(ref) {
		a.Target = ref
	}
	return guard.Do(ctx, s.guard, who, a, func(*guard.Call) (vaultapi.RotationHistory, error) {
		p, err := s.book.policyOf(s.row(ctx), who.Tenant, ref)
		if err != nil {
			return vaultapi.RotationHistory{}, unread(err)
		}
		list, err := s.historyPage(ctx, who.Tenant, p.id, q)
		return list, unread(err)
	})
}

func (s *Service) historyPage(ctx context.Context, tenant, policyID string, q HistoryQuery) (vaultapi.RotationHistory, error) {
	var list vaultapi.RotationHistory
	query := "history " + policyID + " " + q.Status
	last, err := s.cursors.Read(tenant, query, q.Cursor)
	if err != nil {
		return list, err
	}
	before, err := readPlace(last, place{at: never})
	if err != nil {
		return list, err
	}
	rows, err := s.db.Query(ctx, pageHistory, tenant, policyID, q.Status, before.at, before.key, q.Limit+1)
	if err != nil {
		return list, fmt.Errorf("history: %w", err)
	}
	found, err := collect(rows, scanRecord)
	if err != nil {
		return list, fmt.Errorf("history: %w", err)
	}
	items := []vaultapi.RotationHistoryItem{}
	for _, r := range found[:min(len(found), q.Limit)] {
		items = append(items, r.wire())
	}
	list.History, list.Data, list.HasMore = items, items, len(found) > q.Limit
	if list.HasMore {
		r := found[q.Limit-1]
		next := s.cursors.Write(tenant, query, place{r.created, r.id}.text())
		list.Cursor = &next
	}
	return list, nil
}

// place is where a page of a list that is ordered by time ended.
type place struct {
	at  int64
	key string
}

func (p place) text() string { return strconv.FormatInt(p.at, 10) + " " + p.key }

// readPlace reads what a cursor holds; first is the place before the first page.
func readPlace(text string, first place) (place, error) {
	if text == "" {
		return first, nil
	}
	number, key, _ := strings.Cut(text, " ")
	at, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		return first, fault.Invalid(fault.CodeInvalidCursor, "the cursor does not belong to this list: begin again without one")
	}
	return place{at, key}, nil
}
