package main

import (
	"fmt"
	"strconv"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func stamp(t vaultapi.Time) string { return t.UTC().Format("2006-01-02T15:04:05Z") }

func maybeStamp(t *vaultapi.Time) string {
	if t == nil {
		return "-"
	}
	return stamp(*t)
}

// orDash is what a table shows for a link.
func orDash(id *string) string {
	if id == nil {
		return "-"
	}
	return *id
}

func microStamp(t vaultapi.MicroTime) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func maybeMicroStamp(t *vaultapi.MicroTime) string {
	if t == nil {
		return "-"
	}
	return microStamp(*t)
}

func number(n int64) string { return strconv.FormatInt(n, 10) }

// print prints text that ends its own lines, such as PEM.
func (a *app) print(text string) error {
	_, err := fmt.Fprint(a.Out, text)
	return err
}
