package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// show prints v as JSON where that is asked for, and else the rows, the first of which is the heading.
func (a *app) show(v any, rows func() [][]string) error {
	if a.json {
		return a.printJSON(v)
	}
	return printTable(a.out, rows())
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

func (a *app) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a.out, format+"\n", args...)
	return err
}

// remark tells a person something that a pipeline does not want.
func (a *app) remark(format string, args ...any) {
	_, _ = fmt.Fprintf(a.errors, format+"\n", args...) // nothing is left to tell it to
}

func printTable(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = clean(cell)
		}
		if _, err := fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// clean keeps text of others from moving the cursor or ending a line: what does not print is escaped.
func clean(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		return quoted[1 : len(quoted)-1]
	}
	return s
}

func stamp(t vaultapi.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func maybeStamp(t *vaultapi.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}

func microStamp(t vaultapi.MicroTime) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func maybeMicroStamp(t *vaultapi.MicroTime) string {
	if t == nil {
		return "-"
	}
	return microStamp(*t)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
