package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	watchPoll    = 30 * time.Second
	farewellTime = 5 * time.Second
)

func newEventsCommand(a *app) *cobra.Command {
	return console.Group("events", "Follow changes", newWatchCommand(a))
}

func newWatchCommand(a *app) *cobra.Command {
	var count int
	w := vaultapi.SubscriptionWrite{Name: "scaivault events watch", Delivery: vaultapi.Delivery{Type: "polling"}}
	cmd := &cobra.Command{
		Use: "watch", Short: "Print changes as they happen, until interrupted", Args: console.Arguments(cobra.NoArgs),
		Long:    "Print changes as they happen, until interrupted. With --json each event is one line.",
		Example: "  scaivault events watch --path 'environments/production/**' --event 'secret.*'",
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := a.connect()
			if err != nil {
				return err
			}
			return a.watch(cmd.Context(), c, w, count)
		},
	}
	selectFlags(cmd, &w)
	cmd.Flags().Lookup("path").DefValue = "all"
	cmd.Flags().IntVar(&count, "count", 0, "end after so many events; 0: never")
	return cmd
}

// watch makes a subscription for as long as it runs.
func (a *app) watch(ctx context.Context, c *client.Client, w vaultapi.SubscriptionWrite, count int) error {
	if len(w.Paths) == 0 {
		w.Paths = []string{"**"}
	}
	s, err := c.Subscriptions.Create(ctx, w)
	if err != nil {
		return err
	}
	defer a.unwatch(ctx, c, s.ID)
	a.Remark("Watching; interrupt to end")
	seen := &watched{app: a, left: count}
	for {
		p, err := c.Subscriptions.Poll(ctx, s.ID, client.PollOptions{Timeout: watchPoll, SinceEventID: seen.last})
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if enough, err := seen.take(p); err != nil || enough {
			return err
		}
	}
}

func (a *app) unwatch(ctx context.Context, c *client.Client, id string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), farewellTime)
	defer cancel()
	if err := c.Subscriptions.Delete(ctx, id); err != nil {
		a.Remark("Subscription %s stays: %s", id, console.Explained(err))
	}
}

// watched is how far a watch has come.
type watched struct {
	app  *app
	last string
	left int // 0: no end
}

func (w *watched) take(p *vaultapi.Poll) (enough bool, err error) {
	if p.Gap {
		w.app.Remark("Warning: some events were lost")
	}
	for _, e := range p.Events {
		if err := w.app.printEvent(e); err != nil {
			return true, err
		}
		w.last = e.EventID
		if w.left--; w.left == 0 {
			return true, nil
		}
	}
	if p.ResumeEventID != "" {
		w.last = p.ResumeEventID
	}
	return false, nil
}

func (a *app) printEvent(e vaultapi.Event) error {
	if a.JSON {
		return json.NewEncoder(a.Out).Encode(e)
	}
	return a.Say("%s  %-24s  %s  %s", microStamp(e.Timestamp), console.Clean(e.EventType), console.OrDash(console.Clean(e.Path)), console.Clean(e.IdentityID))
}
