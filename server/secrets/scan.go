package secrets

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/scailabs/scaivault/internal/policy"
)

// Bounds of the scan behind one page: what the caller may not list costs no more than this.
const (
	maxExamined = 5000
	maxQueries  = 64
)

// listed is a row of a list. position is where the list goes on behind it.
type listed struct {
	head
	position string
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

// scanRange runs one query. It returns the last path it gave, and whether there may be more behind it.
func (s *Service) scanRange(ctx context.Context, w *window, from, to string) (last string, more bool, err error) {
	size, n := w.chunk(), 0
	err = each(ctx, s.db, queryPaths, []any{w.tenant, from, to, size}, func(row scanner) error {
		var l listed
		if err := row.Scan(l.dest()...); err != nil {
			return err
		}
		n++
		last, l.position = l.path, following(l.path)
		w.take(l)
		return nil
	})
	return last, n == size, err
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
			var l listed
			if err := row.Scan(l.dest()...); err != nil {
				return err
			}
			n++
			position = fmt.Sprintf("%d %s", *l.expires, l.path)
			l.position = position
			w.take(l)
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
