package secrets

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Bounds of the scan behind one page: what the caller may not list costs no more than this.
const (
	maxExamined = 5000
	maxQueries  = 64
)

// listed is a row of a list. position is where the list goes on behind it. Rows are shared: they do not change.
type listed struct {
	info     vaultapi.SecretInfo
	deleted  bool
	position string
}

func scanListed(row scanner, position func(*head) string) (listed, error) {
	var h head
	if err := row.Scan(h.dest()...); err != nil {
		return listed{}, err
	}
	info, err := h.info("")
	return listed{info: info, deleted: h.deleted != nil, position: position(&h)}, err
}

// end is behind every path: no character of a path is as high.
const end = "~"

const queryPaths = `SELECT ` + headColumns + ` FROM secrets h
WHERE h.tenant = $1 AND h.path >= $2 AND h.path < $3 ORDER BY h.path LIMIT $4`

// scanPaths looks through the ranges that the caller's policies name, in the order of paths. A position is
// the string from which to go on.
func (s *Service) scanPaths(ctx context.Context, w *window) error {
	for _, r := range w.ranges {
		from, to := clip(r, w.prefix, w.start)
		for from < to {
			if w.spent() {
				w.stopped = from
				return nil
			}
			last, more, err := s.scanRange(ctx, w, from, to)
			if err != nil || w.full() {
				return err
			}
			if !more {
				break
			}
			from = following(last)
		}
	}
	return nil
}

// scanRange takes the rows of one query. It returns the last path, and whether there may be more behind it.
func (s *Service) scanRange(ctx context.Context, w *window, from, to string) (last string, more bool, err error) {
	of := span{from, to, w.chunk()}
	rows, known, ticket := s.pages.get(w.tenant, of)
	if !known {
		rows = make([]listed, 0, 16)
		err = each(ctx, s.db, queryPaths, []any{w.tenant, from, to, of.size}, func(row scanner) error {
			l, err := scanListed(row, func(h *head) string { return following(h.path) })
			rows = append(rows, l)
			return err
		})
		if err != nil {
			return "", false, err
		}
		s.pages.put(w.tenant, of, rows, ticket)
	}
	for i := range rows {
		w.take(&rows[i])
		last = rows[i].info.Path
	}
	return last, len(rows) == of.size, nil
}

// clip cuts a range to the paths that begin with prefix and do not come before start.
func clip(r policy.Range, prefix, start string) (from, to string) {
	from, to = bound(r.From), end
	if r.To != "" {
		to = min(to, bound(r.To))
	}
	if prefix != "" {
		from, to = max(from, prefix), min(to, prefix+end)
	}
	return max(from, start), to
}

// bound is a range's bound without NUL, which PostgreSQL takes in no text; like NUL, a space comes before
// every character of a path.
func bound(s string) string { return strings.ReplaceAll(s, "\x00", " ") }

// following is the first string behind a path.
func following(path string) string { return path + " " }

const queryExpiring = `SELECT ` + headColumns + ` FROM secrets h
WHERE h.tenant = $1 AND h.expires_at > $2 AND h.expires_at <= $3 AND (h.expires_at > $4 OR h.expires_at = $4 AND h.path > $5)
ORDER BY h.expires_at, h.path LIMIT $6`

// scanExpiring looks through the secrets that expire soon, soonest first. A position is "<expires_at> <path>"
// of the secret behind which to go on.
func (s *Service) scanExpiring(ctx context.Context, w *window) error {
	position := w.start
	for !w.spent() {
		at, path, err := expiryPosition(position)
		if err != nil {
			return err
		}
		size, n := w.chunk(), 0
		args := []any{w.tenant, w.now.UnixMicro(), w.until.UnixMicro(), at, path, size}
		err = each(ctx, s.db, queryExpiring, args, func(row scanner) error {
			l, err := scanListed(row, func(h *head) string { return fmt.Sprintf("%d %s", *h.expires, h.path) })
			if err != nil {
				return err
			}
			n++
			position = l.position
			w.take(&l)
			return nil
		})
		if err != nil || w.full() || n < size {
			return err
		}
	}
	w.stopped = position
	return nil
}

// expiryPosition reads "<expires_at> <path>"; "" is before everything.
func expiryPosition(position string) (at int64, path string, err error) {
	if position == "" {
		return 0, "", nil
	}
	text, path, _ := strings.Cut(position, " ")
	if at, err = strconv.ParseInt(text, 10, 64); err != nil {
		return 0, "", invalidCursor()
	}
	return at, path, nil
}
