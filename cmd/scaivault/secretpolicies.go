package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newSecretPoliciesCommand(a *app) *cobra.Command {
	return console.Group("secret-policies", "Say how values of secrets are generated",
		newSecretPolicyListCommand(a), newSecretPolicyGetCommand(a), newSecretPolicyCreateCommand(a),
		newSecretPolicyUpdateCommand(a), newSecretPolicyDeleteCommand(a), newSecretPolicyPreviewCommand(a))
}

func newSecretPolicyListCommand(a *app) *cobra.Command {
	var active bool
	var cmd *cobra.Command
	cmd = listing[vaultapi.SecretPolicy]{
		name: "secret_policies", heading: []string{"ID", "NAME", "TYPE", "ACTIVE", "FIELDS"},
		row: func(p *vaultapi.SecretPolicy) []string {
			return []string{p.ID, p.Name, p.PolicyType, fmt.Sprint(p.IsActive), generators(p.Fields)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.SecretPolicy, *string, error) {
			f := client.SecretPolicyFilter{Limit: at.size, Cursor: at.cursor}
			if cmd.Flags().Changed("active") {
				f.Active = &active
			}
			page, err := c.SecretPolicies.List(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return page.SecretPolicies, page.Cursor, nil
		},
	}.command(a, "list", "List secret policies", 0)
	cmd.Flags().BoolVar(&active, "active", false, "only active ones; --active=false: only those that are not")
	return cmd
}

func generators(fields []vaultapi.SecretPolicyField) string {
	all := make([]string, len(fields))
	for i, f := range fields {
		all[i] = f.Name + "=" + f.Generator
	}
	return strings.Join(all, " ")
}

func newSecretPolicyGetCommand(a *app) *cobra.Command {
	cmd := onObject(a, "get POLICY", "Show a secret policy; static values only with --json", 1, func(ctx context.Context, c *client.Client, args []string) error {
		p, err := c.SecretPolicies.Get(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(p, func() [][]string { return secretPolicyRows(p) })
	})
	return cmd
}

func secretPolicyRows(p *vaultapi.SecretPolicy) [][]string {
	rows := [][]string{
		{"id", p.ID}, {"name", p.Name}, {"description", console.OrDash(p.Description)}, {"type", p.PolicyType},
		{"active", strconv.FormatBool(p.IsActive)}, {"updated", stamp(p.UpdatedAt)},
	}
	for _, f := range p.Fields {
		config := string(f.Config)
		if f.Generator == "static" {
			config = ""
		}
		rows = append(rows, []string{"field", f.Name, f.Generator, config})
	}
	return rows
}

// secretPolicyFlags are the flags of create and update.
type secretPolicyFlags struct {
	jsonFile, name, kind, description string
	active                            bool
	fields                            []string
}

const fieldsHelp = `A field is NAME=GENERATOR[,SETTING=VALUE...]; it can be repeated. A template, a static value and a comment
may hold commas and come last. What is in a command line can be seen by others on this machine and stays in the
shell's history; a static value that is not for them belongs into a file: --json-file.`

func (f *secretPolicyFlags) add(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.jsonFile, "json-file", "", "a file with all of it as JSON; - is standard input")
	cmd.Flags().StringVar(&f.kind, "type", "", "password, api_key, oauth_client, ssh_key or custom: a hint")
	cmd.Flags().StringVar(&f.description, "description", "", "what it is for")
	cmd.Flags().BoolVar(&f.active, "active", true, "whether values are generated from it")
	cmd.Flags().StringArrayVar(&f.fields, "field", nil, "a field and how it is generated")
}

func newSecretPolicyCreateCommand(a *app) *cobra.Command {
	var f secretPolicyFlags
	cmd := &cobra.Command{
		Use: "create [NAME]", Short: "Create a secret policy from flags or from its JSON", Long: "Create a secret policy.\n\n" + fieldsHelp,
		Args: console.Arguments(cobra.MaximumNArgs(1)),
		Example: `  scaivault secret-policies create db-password --type password --field password=random,length=32,require_digit=true
  scaivault secret-policies create api-key --field 'api_key=template,template=sk_{{random:32}}'
  scaivault secret-policies create --json-file policy.json`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 1 {
				f.name = args[0]
			}
			var w vaultapi.SecretPolicyWrite
			if err := a.secretPolicyBody(cmd, f, &w, func() (err error) { w, err = f.write(); return err }); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			p, err := c.SecretPolicies.Create(cmd.Context(), w)
			if err != nil {
				return err
			}
			return a.Show(p, func() [][]string { return [][]string{{"Created " + p.ID + " " + p.Name}} })
		},
	}
	f.add(cmd)
	return cmd
}

func newSecretPolicyUpdateCommand(a *app) *cobra.Command {
	var f secretPolicyFlags
	cmd := &cobra.Command{
		Use: "update POLICY", Short: "Change what is given of a secret policy", Long: "Change what is given of a secret policy. Its fields are replaced as a whole.\n\n" + fieldsHelp,
		Args:    console.Arguments(cobra.ExactArgs(1)),
		Example: "  scaivault secret-policies update db-password --field password=random,length=40",
		RunE: func(cmd *cobra.Command, args []string) error {
			var w vaultapi.SecretPolicyPatch
			if err := a.secretPolicyBody(cmd, f, &w, func() (err error) { w, err = f.patch(cmd); return err }); err != nil {
				return err
			}
			c, err := a.connect()
			if err != nil {
				return err
			}
			p, err := c.SecretPolicies.Patch(cmd.Context(), args[0], w)
			if err != nil {
				return err
			}
			return a.Show(p, func() [][]string { return [][]string{{"Updated " + p.ID + " " + p.Name}} })
		},
	}
	f.add(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "another name")
	return cmd
}

// secretPolicyBody reads a body from the file, or else has it made of the flags.
func (a *app) secretPolicyBody(cmd *cobra.Command, f secretPolicyFlags, body any, fromFlags func() error) error {
	if f.jsonFile == "" {
		return fromFlags()
	}
	for _, flag := range []string{"name", "type", "description", "active", "field"} {
		if cmd.Flags().Changed(flag) || f.name != "" {
			return console.BadUsage("give either --json-file or the policy's name and flags, not both")
		}
	}
	raw, err := a.ReadFile(f.jsonFile)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields() // a misspelt requirement must not become a recipe without it
	if err := dec.Decode(body); err != nil {
		return console.BadUsage("%s is not a secret policy: %s", f.jsonFile, misread(err))
	}
	return nil
}

// write is the policy that the flags describe.
func (f secretPolicyFlags) write() (vaultapi.SecretPolicyWrite, error) {
	if f.name == "" || len(f.fields) == 0 {
		return vaultapi.SecretPolicyWrite{}, console.BadUsage("give the policy's NAME and a --field, or --json-file FILE")
	}
	fields, err := recipe(f.fields)
	return vaultapi.SecretPolicyWrite{Name: f.name, Description: f.description, PolicyType: f.kind, Fields: fields, IsActive: &f.active}, err
}

// patch is the change that the flags describe.
func (f secretPolicyFlags) patch(cmd *cobra.Command) (vaultapi.SecretPolicyPatch, error) {
	var p vaultapi.SecretPolicyPatch
	changed := func(flag string) bool { return cmd.Flags().Changed(flag) }
	if changed("name") {
		p.Name = &f.name
	}
	if changed("type") {
		p.PolicyType = &f.kind
	}
	if changed("description") {
		p.Description = &f.description
	}
	if changed("active") {
		p.IsActive = &f.active
	}
	if changed("field") {
		fields, err := recipe(f.fields)
		if err != nil {
			return p, err
		}
		p.Fields = &fields
	}
	if p == (vaultapi.SecretPolicyPatch{}) {
		return p, console.BadUsage("nothing to change: give a flag, or --json-file FILE")
	}
	return p, nil
}

func newSecretPolicyDeleteCommand(a *app) *cobra.Command {
	var force bool
	cmd := onObject(a, "delete POLICY", "Delete a secret policy", 1, func(ctx context.Context, c *client.Client, args []string) error {
		if err := c.SecretPolicies.Delete(ctx, args[0], force); err != nil {
			return err
		}
		return a.done(map[string]any{"id": args[0], "deleted": true}, "Deleted "+args[0])
	})
	cmd.Flags().BoolVar(&force, "force", false, "detach the secrets that were generated from it")
	return cmd
}

// previewJSON is what the API answers: unlike vaultapi.SecretPolicyPreview it shows the values.
type previewJSON struct {
	SecretPolicyID string          `json:"secret_policy_id"`
	Fields         json.RawMessage `json:"fields"`
}

func newSecretPolicyPreviewCommand(a *app) *cobra.Command {
	var field string
	cmd := onObject(a, "preview POLICY", "Generate values and store nothing", 1, func(ctx context.Context, c *client.Client, args []string) error {
		p, err := c.SecretPolicies.Preview(ctx, args[0])
		if err != nil {
			return err
		}
		fields, err := p.Fields.Fields()
		if err != nil {
			return err
		}
		if field != "" {
			return a.printField(fields, field)
		}
		return a.Show(previewJSON{p.SecretPolicyID, p.Fields.Reveal()}, func() [][]string { return valueRows(fields) })
	})
	cmd.Flags().StringVar(&field, "field", "", "print the value of one field and nothing else")
	return cmd
}

// valueRows is a table of fields and their values.
func valueRows(fields map[string]json.RawMessage) [][]string {
	rows := [][]string{{"FIELD", "VALUE"}}
	for _, name := range sortedKeys(fields) {
		rows = append(rows, []string{name, plain(fields[name])})
	}
	return rows
}
