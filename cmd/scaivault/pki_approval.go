package main

import (
	"context"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func newCertificateRequestsCommand(a *app) *cobra.Command {
	return console.Group("requests", "Have certificates that one asks for allowed by another",
		newRequestListCommand(a), newRequestGetCommand(a), newRequestSubmitCommand(a),
		newRequestDecisionCommand(a, "approve"), newRequestDecisionCommand(a, "reject"), newRequestSignCommand(a))
}

func newRequestListCommand(a *app) *cobra.Command {
	var f client.CertificateRequestFilter
	cmd := listing[vaultapi.CertificateRequest]{
		name: "requests", heading: []string{"ID", "STATUS", "ROLE", "COMMON NAME", "SUBMITTED BY", "EXPIRES"},
		row: func(r *vaultapi.CertificateRequest) []string {
			return []string{r.ID, r.Status, r.Role, console.OrDash(r.CommonName), r.SubmittedBy, stamp(r.ExpiresAt)}
		},
		page: func(ctx context.Context, c *client.Client, _ []string, at position) ([]vaultapi.CertificateRequest, *string, error) {
			f.Limit, f.Cursor = at.size, at.cursor
			page, err := c.PKI.CertificateRequests(ctx, f)
			if err != nil {
				return nil, nil, err
			}
			return page.Requests, page.Cursor, nil
		},
	}.command(a, "list", "List certificate requests, the oldest first", 0)
	cmd.Flags().StringVar(&f.Status, "status", "", "only pending, approved, rejected, signed or expired ones")
	return cmd
}

func newRequestGetCommand(a *app) *cobra.Command {
	return onObject(a, "get REQUEST", "Show a certificate request and what was decided", 1, func(ctx context.Context, c *client.Client, args []string) error {
		r, err := c.PKI.CertificateRequest(ctx, args[0])
		if err != nil {
			return err
		}
		return a.Show(r, func() [][]string {
			return [][]string{
				{"id", r.ID}, {"status", r.Status}, {"role", r.Role}, {"common name", console.OrDash(r.CommonName)},
				{"names", console.OrDash(strings.Join(r.AltNames, " "))}, {"ttl", console.OrDash(r.TTL)}, {"submitted", stamp(r.CreatedAt) + " by " + r.SubmittedBy},
				{"expires", stamp(r.ExpiresAt)}, {"decided", maybeStamp(r.DecidedAt) + " by " + orDash(r.DecidedBy)},
				{"comment", console.OrDash(r.Comment)}, {"certificate", orDash(r.CertificateID)},
			}
		})
	})
}

func newRequestSubmitCommand(a *app) *cobra.Command {
	var w vaultapi.CertificateRequestSubmit
	cmd := onObject(a, "submit ROLE REQUEST-FILE", "Hand in a certificate request for somebody else's approval", 2, func(ctx context.Context, c *client.Client, args []string) (err error) {
		w.Role = args[0]
		if w.CSRPEM, err = a.readPublic(args[1]); err != nil {
			return err
		}
		r, err := c.PKI.SubmitRequest(ctx, w)
		if err != nil {
			return err
		}
		return a.done(r, "Submitted "+r.ID+": once it is approved, scaivault pki requests sign "+r.ID)
	})
	cmd.Flags().StringSliceVar(&w.AltNames, "name", nil, "names instead of the request's own; may be given again")
	cmd.Flags().StringSliceVar(&w.IPSANs, "ip", nil, "IP addresses instead of the request's own; may be given again")
	cmd.Flags().StringVar(&w.TTL, "ttl", "", "how long the certificate is valid; default and most: what the role says")
	return cmd
}

func newRequestDecisionCommand(a *app, verb string) *cobra.Command {
	short := "Allow a certificate request of somebody else to be signed"
	if verb == "reject" {
		short = "Refuse a certificate request"
	}
	var d vaultapi.CertificateRequestDecision
	cmd := onObject(a, verb+" REQUEST", short, 1, func(ctx context.Context, c *client.Client, args []string) error {
		decide := c.PKI.ApproveRequest
		if verb == "reject" {
			decide = c.PKI.RejectRequest
		}
		r, err := decide(ctx, args[0], d)
		if err != nil {
			return err
		}
		return a.done(r, r.ID+" "+r.Status)
	})
	cmd.Flags().StringVar(&d.Comment, "comment", "", "why")
	return cmd
}

func newRequestSignCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use: "sign REQUEST", Short: "Have the certificate of a request made that is approved", Args: console.Arguments(cobra.ExactArgs(1)),
		Long: "Have the certificate of a request made that is approved. Where it goes is as with scaivault pki sign.",
	}
	return madeCommand(a, cmd, false, func(ctx context.Context, c *client.Client, args []string) (*vaultapi.IssuedCertificate, error) {
		return c.PKI.SignRequest(ctx, args[0])
	})
}
