package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newRolesCommand(a *app) *cobra.Command {
	return console.Group("roles", "Say what certificates may be made by whom a role is granted to",
		newRoleListCommand(a), newRoleGetCommand(a), newRoleCreateCommand(a), newRoleUpdateCommand(a), newRoleDeleteCommand(a))
}

func newRoleListCommand(a *app) *cobra.Command {
	return listing[vaultapi.PKIRole]{
		name: "roles", heading: []string{"NAME", "CA", "KEY", "MAX TTL", "NAMES"},
		row: func(r *vaultapi.PKIRole) []string {
			return []string{r.Name, r.CAID, keyKind(r.KeyType, r.KeyBits), r.MaxTTL, namesOf(r)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.PKIRole, *string, error) {
			page, err := c.PKI.Roles(ctx, at.size, at.cursor)
			if err != nil {
				return nil, nil, err
			}
			return page.Roles, page.Cursor, nil
		},
	}.command(a, "list", "List roles", 0)
}

// namesOf is what a role allows, in few words.
func namesOf(r *vaultapi.PKIRole) string {
	all := append(append([]string{}, r.AllowedDomains...), r.AllowedURIs...)
	for _, kind := range []struct {
		word    string
		allowed bool
	}{{"and all below", r.AllowSubdomains}, {"IP addresses", r.AllowIPSANs}, {"mail", r.AllowEmailSANs}} {
		if kind.allowed {
			all = append(all, kind.word)
		}
	}
	return console.OrDash(strings.Join(all, ", "))
}

func newRoleGetCommand(a *app) *cobra.Command {
	return onObject(a, "get ROLE", "Show a role", 1, func(ctx context.Context, c *client.Client, args []string) error {
		r, err := c.PKI.Role(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(r, func() [][]string {
			return [][]string{
				{"name", r.Name}, {"authority", r.CAID}, {"names", namesOf(r)}, {"key", keyKind(r.KeyType, r.KeyBits)}, {"max ttl", r.MaxTTL},
				{"requires a common name", fmt.Sprint(r.RequireCN)}, {"keeps private keys", fmt.Sprint(r.StorePrivateKeys)}, {"updated", stamp(r.UpdatedAt)},
			}
		})
	})
}

// roleFlags are the fields of a role but its name.
type roleFlags struct {
	vaultapi.PKIRoleWrite
	requireCN bool
}

func (f *roleFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.CAID, "ca", "", "authority that signs")
	flags.StringSliceVar(&f.AllowedDomains, "domain", nil, "host name that is allowed, or *. and a host name: names of one more label; may be given again")
	flags.BoolVar(&f.AllowSubdomains, "subdomains", false, "names at any depth below these domains too")
	flags.BoolVar(&f.AllowIPSANs, "ip", false, "IP addresses too")
	flags.StringSliceVar(&f.AllowedURIs, "uri", nil, "URI that is allowed, or a prefix that ends in /*; may be given again")
	flags.BoolVar(&f.AllowEmailSANs, "email", false, "mail addresses of these domains too")
	flags.StringVar(&f.MaxTTL, "max-ttl", "", "how long certificates may be valid (default 720h)")
	flags.StringVar(&f.KeyType, "key-type", "", "rsa, ec (default) or ed25519")
	flags.IntVar(&f.KeyBits, "key-bits", 0, "rsa 2048, 3072 or 4096; ec 256 or 384; of keys that others bring the least")
	flags.BoolVar(&f.requireCN, "require-cn", true, "whether a certificate needs a common name")
	flags.BoolVar(&f.StorePrivateKeys, "store-keys", false, "keep the private keys that the server makes")
}

func newRoleCreateCommand(a *app) *cobra.Command {
	var f roleFlags
	cmd := onObject(a, "create NAME --ca CA", "Create a role", 1, func(ctx context.Context, c *client.Client, args []string) error {
		f.Name, f.RequireCN = args[0], &f.requireCN
		r, err := c.PKI.CreateRole(ctx, f.PKIRoleWrite)
		if err != nil {
			return err
		}
		return a.done(r, "Created "+r.Name+": "+namesOf(r))
	})
	cmd.Example = "  scaivault pki roles create svc-mtls --ca services --domain '*.svc.cluster.local' --max-ttl 168h"
	f.add(cmd)
	return cmd
}

func newRoleUpdateCommand(a *app) *cobra.Command {
	var f roleFlags
	var cmd *cobra.Command
	cmd = onObject(a, "update ROLE", "Change the given fields of a role", 1, func(ctx context.Context, c *client.Client, args []string) error {
		var p vaultapi.PKIRolePatch
		err := given(cmd.Flags(), map[string]func(){
			"ca": func() { p.CAID = &f.CAID }, "domain": func() { p.AllowedDomains = &f.AllowedDomains },
			"subdomains": func() { p.AllowSubdomains = &f.AllowSubdomains }, "ip": func() { p.AllowIPSANs = &f.AllowIPSANs },
			"uri": func() { p.AllowedURIs = &f.AllowedURIs }, "email": func() { p.AllowEmailSANs = &f.AllowEmailSANs },
			"max-ttl": func() { p.MaxTTL = &f.MaxTTL }, "key-type": func() { p.KeyType = &f.KeyType },
			"key-bits": func() { p.KeyBits = &f.KeyBits }, "require-cn": func() { p.RequireCN = &f.requireCN },
			"store-keys": func() { p.StorePrivateKeys = &f.StorePrivateKeys },
		})
		if err != nil {
			return err
		}
		r, err := c.PKI.PatchRole(ctx, args[0], p)
		if err != nil {
			return err
		}
		return a.done(r, "Changed "+r.Name+": "+namesOf(r))
	})
	cmd.Long = "Change the given fields of a role. A list is replaced as a whole. Certificates that were made stay as they are."
	cmd.Example = "  scaivault pki roles update svc-mtls --max-ttl 72h"
	f.add(cmd)
	return cmd
}

func newRoleDeleteCommand(a *app) *cobra.Command {
	return onObject(a, "delete ROLE", "Delete a role; certificates made by it stay", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.PKI.DeleteRole(ctx, args[0]); err != nil {
			return err
		}
		return a.done(map[string]any{"name": args[0], "deleted": true}, "Deleted "+args[0])
	})
}
