package pki

import (
	"context"
	"fmt"
)

// asked is the page that a caller asked for.
type asked struct {
	tenant string
	limit  int // 0: DefaultLimit
	cursor string
}

// listing is a list of a tenant's things by name.
type listing[T any] struct {
	what  string // as cursors and errors name it
	query string // of tenant, the name to begin behind, and the number of rows
	scan  func(scanner) (T, error)
	name  func(T) string
}

// page is one page of a listing.
type page[T any] struct {
	items  []T
	more   bool
	cursor *string // of the next page
}

// pageOf reads a page. Errors: invalid_request, invalid_cursor.
func pageOf[T any](ctx context.Context, s *Service, l listing[T], a asked) (page[T], error) {
	limit, err := pageSize(a.limit)
	if err != nil {
		return page[T]{}, err
	}
	after, err := s.cursors.Read(a.tenant, "pki "+l.what, a.cursor)
	if err != nil {
		return page[T]{}, err
	}
	rows, err := s.db.Query(ctx, l.query, a.tenant, after, limit+1)
	if err != nil {
		return page[T]{}, unread(fmt.Errorf("list %s: %w", l.what, err))
	}
	found, err := collect(rows, l.scan)
	if err != nil {
		return page[T]{}, unread(fmt.Errorf("list %s: %w", l.what, err))
	}
	p := page[T]{items: found[:min(len(found), limit)], more: len(found) > limit}
	if p.more {
		next := s.cursors.Write(a.tenant, "pki "+l.what, l.name(found[limit-1]))
		p.cursor = &next
	}
	return p, nil
}
