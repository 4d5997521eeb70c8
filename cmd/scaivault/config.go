package main

import (
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
)

const (
	keyBaseURL = "base_url"
	keyCAFile  = "ca_file"
)

func newConfigCommand(a *app) *cobra.Command {
	return console.Group("config", "Configure this program (~/.scaivault/config.json)",
		newConfigSetCommand(a), newConfigGetCommand(a), newConfigListCommand(a))
}

func newConfigSetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "set KEY VALUE", Short: "Set base_url or ca_file; an empty value removes it",
		Example:   "  scaivault config set base_url https://vault.example.com",
		Args:      console.Arguments(cobra.ExactArgs(2)),
		ValidArgs: []string{keyBaseURL, keyCAFile},
		RunE:      func(_ *cobra.Command, args []string) error { return a.setConfig(args[0], args[1]) },
	}
}

func (a *app) setConfig(key, value string) error {
	f, err := a.Load()
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
				return console.BadUsage("ca_file: %w", err)
			}
		}
	default:
		return unknownKey(key)
	}
	if f.BaseURL != "" {
		if _, err := client.New(client.Options{BaseURL: f.BaseURL, CAFile: f.CAFile}); err != nil {
			return console.Mistake(err)
		}
	}
	return a.Save(f)
}

func unknownKey(key string) error {
	return console.BadUsage("%q is not a setting: there are base_url and ca_file", key)
}

func newConfigGetCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "get KEY", Short: "Print the value in effect", Args: console.Arguments(cobra.ExactArgs(1)),
		ValidArgs: []string{keyBaseURL, keyCAFile},
		RunE:      func(_ *cobra.Command, args []string) error { return a.getConfig(args[0]) },
	}
}

func (a *app) getConfig(key string) error {
	s, err := a.Settings()
	if err != nil {
		return err
	}
	switch key {
	case keyBaseURL:
		return a.Say("%s", s.BaseURL)
	case keyCAFile:
		return a.Say("%s", s.CAFile)
	}
	return unknownKey(key)
}

func newConfigListCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "list", Short: "Print all settings in effect; the token is never printed", Args: console.Arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error { return a.listConfig() },
	}
}

func (a *app) listConfig() error {
	s, err := a.Settings()
	if err != nil {
		return err
	}
	shown := map[string]any{keyBaseURL: s.BaseURL, keyCAFile: s.CAFile, "token_set": s.Token != ""}
	return a.Show(shown, func() [][]string {
		token := "not set: run scaivault auth login"
		if s.Token != "" {
			token = "set"
		}
		return [][]string{{"KEY", "VALUE"}, {keyBaseURL, console.OrDash(s.BaseURL)}, {keyCAFile, console.OrDash(s.CAFile)}, {"token", token}}
	})
}
