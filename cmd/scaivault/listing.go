package main

import (
	"cmp"
	"context"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
)

const (
	largestPage = 1000 // the most that the API gives at once
	usualLimit  = 100
)

// listing says how objects of one kind are listed.
type listing[T any] struct {
	name    string // of their array in the API's answers (contract OC-1)
	heading []string
	row     func(*T) []string
	page    func(ctx context.Context, c *client.Client, args []string, at position) ([]T, *string, error)
	none    func() string // what a person is told where there are none; nil: nothing
	limit   int           // where none is given; 0: usualLimit
}

// position is where a page begins and how much it may hold.
type position struct {
	size   int
	cursor string
}

// command is the command that lists them, about as many objects as it takes arguments.
func (l listing[T]) command(a *app, use, short string, arguments int) *cobra.Command {
	var limit int
	cmd := onObject(a, use, short, arguments, func(ctx context.Context, c *client.Client, args []string) error {
		items, cursor, err := l.collect(ctx, c, args, limit)
		if err != nil {
			return err
		}
		l.remark(a, len(items) == 0, cursor != nil)
		return a.Show(l.whole(items, cursor), func() [][]string { return l.rows(items) })
	})
	cmd.Flags().IntVar(&limit, "limit", cmp.Or(l.limit, usualLimit), "how many at most")
	return cmd
}

func (l listing[T]) remark(a *app, empty, more bool) {
	a.tellMore(more)
	if empty && l.none != nil && !a.JSON {
		a.Remark("%s", l.none())
	}
}

func (a *app) tellMore(more bool) {
	if more && !a.JSON {
		a.Remark("There are more: raise --limit to see them")
	}
}

func (l listing[T]) collect(ctx context.Context, c *client.Client, args []string, limit int) ([]T, *string, error) {
	return collect(limit, func(size int, cursor string) ([]T, *string, error) {
		return l.page(ctx, c, args, position{size, cursor})
	})
}

// whole is the API's answer as if it had been one page.
func (l listing[T]) whole(items []T, cursor *string) any {
	return map[string]any{l.name: items, "data": items, "cursor": cursor, "has_more": cursor != nil}
}

func (l listing[T]) rows(items []T) [][]string {
	rows := [][]string{l.heading}
	for i := range items {
		rows = append(rows, l.row(&items[i]))
	}
	return rows
}

// collect follows cursors until it has limit items or there are no more. The cursor is nil at the end.
func collect[T any](limit int, next func(size int, cursor string) ([]T, *string, error)) ([]T, *string, error) {
	if limit < 1 {
		return nil, nil, console.BadUsage("--limit must be 1 or more")
	}
	items := []T{}
	cursor := ""
	for {
		page, after, err := next(min(limit-len(items), largestPage), cursor)
		if err != nil {
			return nil, nil, err
		}
		items = append(items, page...)
		if after == nil || *after == "" || *after == cursor {
			return items, nil, nil
		}
		if len(items) >= limit {
			return items, after, nil
		}
		cursor = *after
	}
}
