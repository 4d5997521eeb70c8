package audit

import (
	"context"
	"strconv"
	"strings"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// page answers one page of a query. path, if not "", narrows it to one secret.
func (l *Log) page(ctx context.Context, tenant, path string, q Query) (vaultapi.AuditList, error) {
	limit, err := q.limit()
	if err != nil {
		return vaultapi.AuditList{}, err
	}
	s, err := q.search(tenant, path)
	if err != nil {
		return vaultapi.AuditList{}, err
	}
	key, err := l.keys.load(ctx)
	if err != nil {
		return vaultapi.AuditList{}, err
	}
	digest, err := q.digest(tenant, path)
	if err != nil {
		return vaultapi.AuditList{}, err
	}
	if q.Cursor != "" {
		if s.after, err = key.readCursor(q.Cursor, digest); err != nil {
			return vaultapi.AuditList{}, err
		}
	}
	entries, next, err := l.take(ctx, s, limit)
	if err != nil {
		return vaultapi.AuditList{}, err
	}
	list := vaultapi.AuditList{Logs: entries, Data: entries}
	if next != (position{}) {
		cursor := key.cursorAt(next, digest)
		list.Cursor, list.HasMore = &cursor, true
	}
	return list, nil
}

// take returns up to limit entries, and where to go on if there may be more.
func (l *Log) take(ctx context.Context, s search, limit int) ([]vaultapi.AuditEntry, position, error) {
	entries := make([]vaultapi.AuditEntry, 0, min(limit, defaultLimit))
	var last, more position
	stopped, err := l.scan(ctx, s, func(f found) bool {
		if len(entries) == limit {
			more = last
			return false
		}
		last = f.position
		entries = append(entries, f.wire())
		return true
	})
	if err != nil {
		return nil, position{}, err
	}
	if stopped != (position{}) {
		more = stopped
	}
	return entries, more, nil
}

// wire is the entry as the API shows it (contract section 11).
func (f found) wire() vaultapi.AuditEntry {
	e := &f.entry
	return vaultapi.AuditEntry{
		ID: entryID(f.position), Timestamp: vaultapi.MicroTime{Time: e.Time}, Action: e.Action,
		IdentityType: e.IdentityType, IdentityID: e.IdentityID, SecretPath: e.Path, SourceIP: e.SourceIP,
		UserAgent: e.UserAgent, Success: e.Success, DurationMS: float64(e.Duration.Microseconds()) / 1000,
		RequestID: e.RequestID, ExtraData: extra(e),
	}
}

// entryID is the entry's place in the trail: its chain's writer and its number in the chain.
func entryID(p position) string {
	return "log_" + strings.TrimPrefix(p.writer, "w_") + strconv.FormatInt(p.seq, 10)
}

func extra(e *guard.Entry) map[string]any {
	m := make(map[string]any, len(e.Notes)+3)
	for _, n := range e.Notes {
		m[n.Key] = n.Value
	}
	if e.Target != "" {
		m["target"] = e.Target
	}
	if e.Code != "" {
		m["error_code"] = e.Code
	}
	if e.Count > 1 {
		m["count"] = e.Count
	}
	return m
}
