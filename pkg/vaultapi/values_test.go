package vaultapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

const canary = "canary-7f3a"

// TestMistake36ValuesNeverPrint prints values in every way that the standard library has, also from inside
// another struct's unexported field, where fmt does not ask for methods.
func TestMistake36ValuesNeverPrint(t *testing.T) {
	v, err := NewValues(json.RawMessage(`{"password":"` + canary + `"}`))
	if err != nil {
		t.Fatal(err)
	}
	hidden := struct {
		values Values
		list   []Values
	}{v, []Values{v}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "v", v, "s", Secret{Data: v})
	marshalled, err := json.Marshal(Secret{Data: v})
	if err != nil {
		t.Fatal(err)
	}
	decimal := strings.Trim(fmt.Sprint([]byte(canary)), "[]")
	for name, printed := range map[string]string{
		"v": fmt.Sprintf("%v", v), "+v": fmt.Sprintf("%+v", v), "#v": fmt.Sprintf("%#v", v), "s": fmt.Sprintf("%s %[1]q", v),
		"x": fmt.Sprintf("%x", v), "hidden": fmt.Sprintf("%v %+v %#v", hidden, hidden, hidden),
		"log": log.String(), "json": string(marshalled),
	} {
		if strings.Contains(printed, canary) || strings.Contains(printed, decimal) || strings.Contains(printed, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s prints the value", name)
		}
	}
	if !bytes.Contains(v.Reveal(), []byte(canary)) {
		t.Error("Reveal does not reveal")
	}
}

func TestNewValuesTakesObjectsOnly(t *testing.T) {
	for _, bad := range []string{``, `[]`, `"x"`, `1`, `{`, `{"a":}`} {
		if _, err := NewValues(json.RawMessage(bad)); err == nil {
			t.Errorf("%q was taken for an object", bad)
		}
	}
}
