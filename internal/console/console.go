package console

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"unicode"
)

// Console is what a program was given to work with. All fields but JSON are required.
type Console struct {
	In          io.Reader
	Out, Errors io.Writer
	Getenv      func(string) string
	Home        func() (string, error)

	JSON bool // print JSON instead of tables
}

// Show prints v as JSON where that is asked for, and else the rows, the first of which is the heading.
func (c *Console) Show(v any, rows func() [][]string) error {
	if c.JSON {
		return c.PrintJSON(v)
	}
	return Table(c.Out, rows())
}

// PrintJSON prints v for programs.
func (c *Console) PrintJSON(v any) error {
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("print: %w", err)
	}
	return nil
}

// Say prints one line.
func (c *Console) Say(format string, args ...any) error {
	_, err := fmt.Fprintf(c.Out, format+"\n", args...)
	return err
}

// Remark tells a person something that a pipeline does not want.
func (c *Console) Remark(format string, args ...any) {
	_, _ = fmt.Fprintf(c.Errors, format+"\n", args...) // nothing is left to tell it to
}

// Table prints rows in columns.
func Table(w io.Writer, rows [][]string) error {
	tw := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	for _, row := range rows {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = Clean(cell)
		}
		if _, err := fmt.Fprintln(tw, strings.TrimRight(strings.Join(cells, "\t"), "\t")); err != nil {
			return err
		}
	}
	return tw.Flush()
}

// Clean keeps text of others from moving the cursor or ending a line: what does not print is escaped.
func Clean(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) {
		quoted := strconv.Quote(s)
		return quoted[1 : len(quoted)-1]
	}
	return s
}

// OrDash is what a table shows for s.
func OrDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
