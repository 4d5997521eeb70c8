package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/pkg/client"
)

const (
	keyBaseURL = "base_url"
	keyCAFile  = "ca_file"
)

func newConfigCommand(a *app) *cobra.Command {
	return group("config", "Configure this program (~/.scaivault/config.json)",
		newConfigSetCommand(a), newConfigGetCommand(a), newConfigListCommand(a))
}

func newConfigSetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "set KEY VALUE", Short: "Set base_url or ca_file; an empty value removes it",
		Example:   "  scaivault config set base_url https://vault.example.com",
		Args:      usage(cobra.ExactArgs(2)),
		ValidArgs: []string{keyBaseURL, keyCAFile},
		RunE:      func(_ *cobra.Command, args []string) error { return a.setConfig(args[0], args[1]) },
	}
}

func (a *app) setConfig(key, value string) error {
	f, err := a.load()
	if err != nil {
		return err
	}
	switch key {
	case keyBaseURL:
		f.BaseURL = strings.TrimRight(value, "/")
	case keyCAFile:
		f.CAFile = value
		if value != "" {
			if f.CAFile, err = filepath.Abs(value); err != nil {
				return badUsage("ca_file: %w", err)
			}
		}
	default:
		return unknownKey(key)
	}
	if f.BaseURL != "" {
		if _, err := client.New(client.Options{BaseURL: f.BaseURL, CAFile: f.CAFile}); err != nil {
			return usageError{err}
		}
	}
	return a.save(f)
}

func unknownKey(key string) error {
	return badUsage("%q is not a setting: there are base_url and ca_file", key)
}

func newConfigGetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "Print the value in effect", Args: usage(cobra.ExactArgs(1)),
		ValidArgs: []string{keyBaseURL, keyCAFile},
		RunE:      func(_ *cobra.Command, args []string) error { return a.getConfig(args[0]) },
	}
}

func (a *app) getConfig(key string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	switch key {
	case keyBaseURL:
		return a.say("%s", s.baseURL)
	case keyCAFile:
		return a.say("%s", s.caFile)
	}
	return unknownKey(key)
}

func newConfigListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Print all settings in effect; the token is never printed", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.listConfig() },
	}
}

func (a *app) listConfig() error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	shown := map[string]any{keyBaseURL: s.baseURL, keyCAFile: s.caFile, "token_set": s.token != ""}
	return a.show(shown, func() [][]string {
		token := "not set: run scaivault auth login"
		if s.token != "" {
			token = "set"
		}
		return [][]string{{"KEY", "VALUE"}, {keyBaseURL, orDash(s.baseURL)}, {keyCAFile, orDash(s.caFile)}, {"token", token}}
	})
}
