package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// recipe reads fields of the form NAME=GENERATOR[,SETTING=VALUE...].
func recipe(flags []string) ([]vaultapi.SecretPolicyField, error) {
	fields := make([]vaultapi.SecretPolicyField, len(flags))
	for i, text := range flags {
		name, rest, found := strings.Cut(text, "=")
		generator, settings, _ := strings.Cut(rest, ",")
		if !found || name == "" || generator == "" {
			return nil, console.BadUsage("field %d must be NAME=GENERATOR[,SETTING=VALUE...], such as password=random,length=32", i+1)
		}
		config, err := settingsOf(settings)
		if err != nil {
			return nil, console.BadUsage("field %s: %w", name, err)
		}
		fields[i] = vaultapi.SecretPolicyField{Name: name, Generator: generator, Config: config}
	}
	return fields, nil
}

// settingsOf reads SETTING=VALUE,... Numbers and true and false are sent as such, other values as text. Errors do not
// repeat values: one may be secret.
func settingsOf(text string) (json.RawMessage, error) {
	if text == "" {
		return nil, nil
	}
	settings := map[string]any{}
	for text != "" {
		key, rest, found := strings.Cut(text, "=")
		if !found || key == "" || strings.Contains(key, ",") {
			return nil, errors.New("a setting must be SETTING=VALUE")
		}
		if _, twice := settings[key]; twice {
			return nil, fmt.Errorf("%s is given twice", key)
		}
		if slices.Contains([]string{"template", "value", "comment"}, key) { // the rest, commas and all
			settings[key] = rest
			break
		}
		value, more, _ := strings.Cut(rest, ",")
		settings[key], text = setting(value), more
	}
	return json.Marshal(settings)
}

// setting is a number, true or false, or else text.
func setting(text string) any {
	var v any
	if json.Unmarshal([]byte(text), &v) == nil {
		switch v.(type) {
		case float64, bool:
			return json.RawMessage(text)
		}
	}
	return text
}

// misread tells what a decoder did not like, without the text around it.
func misread(err error) string {
	var syntax *json.SyntaxError
	var kind *json.UnmarshalTypeError
	switch {
	case errors.As(err, &syntax):
		return fmt.Sprintf("it is not JSON at byte %d", syntax.Offset)
	case errors.As(err, &kind):
		return fmt.Sprintf("field %s must not be a %s", kind.Field, strings.Fields(kind.Value)[0])
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
