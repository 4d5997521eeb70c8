package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newAuthCommand(a *app) *cobra.Command {
	return group("auth", "Log in and out", newLoginCommand(a), newWhoamiCommand(a), newLogoutCommand(a))
}

func newLoginCommand(a *app) *cobra.Command {
	var token string
	cmd := &cobra.Command{
		Use: "login", Short: "Check a token and keep it for the configured server",
		Long: `Check a token and keep it for the configured server.

Without --token it is asked for, or read from standard input if that is no terminal. Other users of the
machine can see the arguments of a running program: prefer the prompt or standard input.`,
		Example: "  scaivault auth login < token.txt",
		Args:    usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.login(cmd.Context(), token)
		},
	}
	cmd.Flags().StringVar(&token, "token", "", "the token; - reads it from standard input")
	return cmd
}

func (a *app) login(ctx context.Context, token string) error {
	s, err := a.settings()
	if err != nil {
		return err
	}
	if token == "" || token == "-" {
		if token, err = a.readToken(token == "-"); err != nil {
			return err
		}
	}
	if token = strings.TrimSpace(token); token == "" {
		return badUsage("the token is empty")
	}
	s.token = token
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
	if a.getenv("SCAIVAULT_TOKEN") != "" {
		a.remark("SCAIVAULT_TOKEN is set and wins over the token kept now")
	}
	return a.show(who, func() [][]string {
		return [][]string{{"Logged in to " + s.baseURL + " as " + who.IdentityID + " (tenant " + who.TenantID + ")"}}
	})
}

func (a *app) keepToken(s settings) error {
	f, err := a.load()
	if err != nil {
		return err
	}
	f.Token, f.TokenFor = s.token, s.baseURL
	if f.BaseURL == "" {
		f.BaseURL = s.baseURL
	}
	return a.save(f)
}

// readToken asks for a token, or reads it where there is nobody to ask.
func (a *app) readToken(piped bool) (string, error) {
	if !piped && a.interactive() {
		return a.ask("Token: ")
	}
	raw, err := a.readInput()
	return string(raw), err
}

func newLogoutCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "Forget the token that is kept; it stays valid at the server", Args: usage(cobra.NoArgs),
		RunE: func(*cobra.Command, []string) error {
			f, err := a.load()
			if err != nil {
				return err
			}
			f.Token, f.TokenFor = "", ""
			return a.save(f)
		},
	}
}

func newWhoamiCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use: "whoami", Short: "Show who the token is", Args: usage(cobra.NoArgs),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			who, err := c.Auth.Whoami(cmd.Context())
			if err != nil {
				return err
			}
			return a.show(who, func() [][]string { return whoamiRows(who) })
		},
	}
}

func whoamiRows(who *vaultapi.Whoami) [][]string {
	return [][]string{
		{"identity", who.IdentityID},
		{"type", who.IdentityType},
		{"name", orDash(who.DisplayName)},
		{"tenant", who.TenantID},
		{"partner", orDash(who.PartnerID)},
		{"scopes", orDash(strings.Join(who.Scopes, " "))},
		{"groups", orDash(strings.Join(who.Groups, " "))},
		{"roles", orDash(strings.Join(who.Roles, " "))},
		{"token expires", maybeStamp(who.TokenExpiresAt)},
	}
}
