package main

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// writeFlags are the flags of secrets write.
type writeFlags struct {
	jsonFile string
	cas      int64
	notify   string
	request  vaultapi.WriteRequest
}

func newWriteCommand(a *app) *cobra.Command {
	var f writeFlags
	cmd := &cobra.Command{
		Use: "write PATH [KEY=VALUE...]", Short: "Write a new version of a secret",
		Long: `Write a new version of a secret. Its fields are replaced as a whole.

A value is given as
  key=text    the text itself; others on this machine can see it while the program runs, and it stays
              in the shell's history: use one of the forms below for what is really secret
  key=?       asked for at the terminal, without echo
  key=-       read from standard input, without a newline at the end
  key=@-      read from standard input, as it is
  key=@file   read from a file, as it is
A text that begins with @, or is - or ?, goes into a JSON file: --json-file.

With --generate-from the server makes the value and nobody sees it: the fields of the secret policy replace those
of their names, other fields stay.`,
		Example: `  scaivault secrets write app/db username=app password=?
  scaivault secrets write app/config --type json --json-file ./config.json
  openssl rand -hex 32 | scaivault secrets write app/key value=-
  scaivault secrets write app/db --generate-from db-password`,
		Args: console.Arguments(cobra.MinimumNArgs(1)),
		RunE: func(cmd *cobra.Command, args []string) error {
			if cmd.Flags().Changed("cas") {
				f.request.Options.CASVersion = &f.cas
			}
			if cmd.Flags().Changed("notify-before") {
				thresholds := vaultapi.Thresholds(f.notify)
				f.request.Options.NotifyBefore = &thresholds
			}
			return a.write(cmd.Context(), args[0], args[1:], f)
		},
	}
	cmd.Flags().StringVar(&f.request.SecretType, "type", "", "kv, json, certificate, ssh_key or api_key")
	cmd.Flags().StringVar(&f.jsonFile, "json-file", "", "a file with all fields as a JSON object; - is standard input")
	cmd.Flags().StringVar(&f.request.GenerateFrom, "generate-from", "", "a secret policy that makes the value")
	cmd.Flags().StringVar(&f.request.Options.ExpiresIn, "expires-in", "", "a duration after which it cannot be read, such as 1h or 30d")
	cmd.Flags().StringVar(&f.notify, "notify-before", "", "how long before it expires to announce that (secret.expiring), such as 30d,7d,1d; '' is not at all")
	cmd.Flags().Int64Var(&f.cas, "cas", 0, "write only if this is the current version; 0: only if it does not exist")
	return cmd
}

func (a *app) write(ctx context.Context, path string, pairs []string, f writeFlags) error {
	c, err := a.connect()
	if err != nil {
		return err
	}
	if f.request.Data, err = a.data(pairs, f); err != nil {
		return err
	}
	info, err := c.Secrets.Write(ctx, path, f.request)
	if err != nil {
		return err
	}
	return a.Show(info, func() [][]string {
		return [][]string{{"Wrote " + info.Path + " version " + number(info.Version)}}
	})
}

// data is the data object of a write; nil where the server makes it.
func (a *app) data(pairs []string, f writeFlags) (json.RawMessage, error) {
	if f.request.GenerateFrom == "" {
		return a.fields(pairs, f.jsonFile)
	}
	if f.jsonFile != "" || len(pairs) > 0 {
		return nil, console.BadUsage("give either values or --generate-from, not both")
	}
	return nil, nil
}

// fields are the data object that was given.
func (a *app) fields(pairs []string, jsonFile string) (json.RawMessage, error) {
	switch {
	case jsonFile != "" && len(pairs) > 0:
		return nil, console.BadUsage("give either KEY=VALUE or --json-file, not both")
	case jsonFile == "" && len(pairs) == 0:
		return nil, console.BadUsage("nothing to write: give KEY=VALUE or --json-file FILE")
	case jsonFile == "":
		return a.pairs(pairs)
	}
	raw, err := a.ReadFile(jsonFile)
	if err != nil {
		return nil, err
	}
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || raw[0] != '{' || !json.Valid(raw) {
		return nil, console.BadUsage("%s does not hold one JSON object", jsonFile)
	}
	return raw, nil
}

func (a *app) pairs(pairs []string) (json.RawMessage, error) {
	fields := make(map[string]string, len(pairs))
	inputs := 0
	for _, pair := range pairs {
		key, value, found := strings.Cut(pair, "=")
		if !found || key == "" {
			return nil, console.BadUsage("a field must be KEY=VALUE") // the argument may be a value: it is not repeated
		}
		if _, twice := fields[key]; twice {
			return nil, console.BadUsage("field %s is given twice", key)
		}
		if value == "-" || value == "@-" {
			inputs++
		}
		if inputs > 1 {
			return nil, console.BadUsage("only one field can be read from standard input")
		}
		text, err := a.value(key, value)
		if err != nil {
			return nil, err
		}
		if !utf8.ValidString(text) {
			return nil, console.BadUsage("field %s is not UTF-8 text: encode it first, for instance with base64", key)
		}
		fields[key] = text
	}
	return json.Marshal(fields)
}

// value finds the text that KEY=VALUE stands for.
func (a *app) value(key, value string) (string, error) {
	switch {
	case value == "?":
		return a.ask(key + ": ")
	case value == "-":
		raw, err := a.ReadInput()
		return strings.TrimSuffix(strings.TrimSuffix(string(raw), "\n"), "\r"), err
	case strings.HasPrefix(value, "@"):
		raw, err := a.ReadFile(value[1:])
		return string(raw), err
	}
	return value, nil
}
