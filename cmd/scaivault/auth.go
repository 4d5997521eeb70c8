package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newAuthCommand(a *app) *cobra.Command {
	return console.Group("auth", "Log in and out", newLoginCommand(a), newWhoamiCommand(a), newLogoutCommand(a))
}

func newLoginCommand(a *app) *cobra.Command {
	var token string
	cmd := &cobra.Command{
		Use: "login", Short: "Check a token and keep it for the configured server",
		Long: `Check a token and keep it for the configured server.

Without --token it is asked for, or read from standard input if that is no terminal. Other users of the
machine can see the arguments of a running program: prefer the prompt or standard input.`,
		Example: "  scaivault auth login < token.txt",
		Args:    console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.login(cmd.Context(), token)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "the token; - reads it from standard input")
	return cmd
}

func (a *app) login(ctx context.Context, token string) error {
	s, err := a.Settings()
	if err != nil {
		return err
	}
	if token == "" || token == "-" {
		if token, err = a.readToken(token == "-"); err != nil {
			return err
		}
	}
	if token = strings.TrimSpace(token); token == "" {
		return console.BadUsage("the token is empty")
	}
	s.Token = token
	c, err := a.dial(s)
	if err != nil {
		return err
	}
	who, err := c.Auth.Whoami(ctx)
	if err != nil {
		return err
	}
	if err := a.keepToken(s); err != nil {
		return err
	}
	if a.Getenv("SCAIVAULT_TOKEN") != "" {
		a.Remark("SCAIVAULT_TOKEN is set and wins over the token kept now")
	}
	return a.Show(who, func() [][]string {
		return [][]string{{"Logged in to " + s.BaseURL + " as " + who.IdentityID + " (tenant " + who.TenantID + ")"}}
	})
}

func (a *app) keepToken(s console.Settings) error {
	f, err := a.Load()
	if err != nil {
		return err
	}
	f.Token, f.TokenFor = s.Token, s.BaseURL
	if f.BaseURL == "" {
		f.BaseURL = s.BaseURL
	}
	return a.Save(f)
}

// readToken asks for a token, or reads it where there is nobody to ask.
func (a *app) readToken(piped bool) (string, error) {
	if !piped && a.interactive() {
		return a.ask("Token: ")
	}
	raw, err := a.ReadInput()
	return string(raw), err
}

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget the token that is kept; it stays valid at the server", Args: console.Arguments(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.Load()
			if err != nil {
				return err
			}
			f.Token, f.TokenFor = "", ""
			return a.Save(f)
		},
	}
}

func newWhoamiCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who the token is", Args: console.Arguments(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			who, err := c.Auth.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return a.Show(who, func() [][]string { return whoamiRows(who) })
		},
	}
}

func whoamiRows(who *vaultapi.Whoami) [][]string {
	return [][]string{
		{"identity", who.IdentityID},
		{"type", who.IdentityType},
		{"name", console.OrDash(who.DisplayName)},
		{"tenant", who.TenantID},
		{"partner", console.OrDash(who.PartnerID)},
		{"scopes", console.OrDash(strings.Join(who.Scopes, " "))},
		{"groups", console.OrDash(strings.Join(who.Groups, " "))},
		{"roles", console.OrDash(strings.Join(who.Roles, " "))},
		{"token expires", maybeStamp(who.TokenExpiresAt)},
	}
}
