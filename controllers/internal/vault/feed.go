package vault

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/util/wait"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	eventDeleted  = "secret.deleted"
	eventMetadata = "secret.metadata_updated"

	pollWait    = 30 * time.Second
	pollEvents  = 1000
	feedBuffer  = 10_000
	firstRetry  = 200 * time.Millisecond
	maxRetry    = 5 * time.Second
	replacedGap = 2 * time.Second
)

// feedEvents are the events that can change what an object should be. policy.violation is not among
// them: our own refused reads would wake us for ever.
func feedEvents() []string {
	return []string{
		"secret.created", "secret.updated", "secret.rotated", "secret.restored", eventDeleted, "secret.expired",
		eventMetadata, "rotation.due", "rotation.completed", "rotation.failed", "rotation.overdue",
		"policy.created", "policy.updated", "policy.deleted", "policy.binding.created", "policy.binding.deleted",
	}
}

// Sink is told what the feed sees. Its methods must not block for long.
type Sink interface {
	// Secret tells of one secret that changed.
	Secret(ctx context.Context, path string)
	// Policies tells that somebody's rights changed, and who owns the policies that did.
	Policies(ctx context.Context, owners []string)
	// Everything tells that events may have been missed: at start, after a gap, after an outage, and when
	// a replaced vault was accepted. After an error it is told again.
	Everything(ctx context.Context) error
	// Replaced tells that another vault answers; every object should say so.
	Replaced(ctx context.Context)
}

// RotationSink is told of rotations.
type RotationSink interface {
	// Rotation tells that the rotation of a secret is due or overdue, ended, or failed, or that its tags may be others.
	// It must not block for long.
	Rotation(ctx context.Context, path string)
}

// Feed follows the vault's events with one subscription.
type Feed struct {
	// Vault works as the operator; Refused is called when its token was not accepted.
	Vault   *client.Client
	Refused func()
	// Owner names the subscription's owner, so that one of an earlier process is found and removed.
	Owner    string
	Guard    *Guard
	Absences *Absences
	Sinks    []Sink
	// Rotations are told of what befalls rotations besides.
	Rotations []RotationSink
	Log       logr.Logger
	// Connected is 1 while events arrive.
	Connected prometheus.Gauge

	subscription string
	resume       string
	behind       bool // what happened before now is unknown to the sinks
	alarmed      bool // the sinks know of the replaced vault
}

// Start follows the events until ctx ends. It is a Runnable of controller-runtime.
func (f *Feed) Start(ctx context.Context) error {
	f.behind = true
	pause := firstRetry
	for ctx.Err() == nil {
		err := f.turn(ctx)
		if err == nil {
			pause = firstRetry
			f.Connected.Set(1)
			continue
		}
		f.lost(ctx, err)
		if !Sleep(ctx, wait.Jitter(pauseAfter(err, pause), 0.5)) {
			return nil
		}
		pause = min(2*pause, maxRetry)
	}
	return nil
}

// pauseAfter is how long to wait: not long where another try with a new token or subscription will do.
func pauseAfter(err error, pause time.Duration) time.Duration {
	switch {
	case IsReplaced(err):
		return replacedGap
	case vaultapi.IsUnauthenticated(err), vaultapi.IsNotFound(err):
		return min(pause, 4*firstRetry)
	}
	return pause
}

// lost notes that events may be missed from now on.
func (f *Feed) lost(ctx context.Context, err error) {
	f.Connected.Set(0)
	f.behind = true
	switch {
	case IsReplaced(err):
		f.alarm(ctx)
		return
	case vaultapi.IsUnauthenticated(err):
		f.Refused()
	case vaultapi.IsNotFound(err): // the subscription is gone: make another
		f.subscription = ""
	}
	f.Guard.Doubt()
	f.Log.Info("the event feed is interrupted", "cause", err.Error())
}

// alarm lets every object say once that the vault was replaced.
func (f *Feed) alarm(ctx context.Context) {
	f.subscription = "" // another vault knows neither it nor our token
	f.Refused()
	if f.alarmed {
		return
	}
	f.alarmed = true
	f.Log.Info("another vault answers than the pinned one; nothing is written or deleted until it is accepted")
	for _, s := range f.Sinks {
		s.Replaced(ctx)
	}
}

// turn is one poll, with what has to come before it.
func (f *Feed) turn(ctx context.Context) error {
	if f.behind {
		if err := f.Guard.CheckNow(ctx); err != nil {
			return err
		}
		f.alarmed = false
	}
	if f.subscription == "" {
		if err := f.subscribe(ctx); err != nil {
			return err
		}
	}
	if f.behind { // only now: what changes from here on is in the subscription
		if err := f.everything(ctx); err != nil {
			return err
		}
	}
	return f.poll(ctx)
}

func (f *Feed) everything(ctx context.Context) error {
	for _, s := range f.Sinks {
		if err := s.Everything(ctx); err != nil {
			return err
		}
	}
	f.behind = false
	f.Connected.Set(1)
	return nil
}

// subscribe removes what an earlier process left and begins with the next event.
func (f *Feed) subscribe(ctx context.Context) error {
	if err := Unsubscribe(ctx, f.Vault.Subscriptions, f.Owner); err != nil {
		return err
	}
	s, err := f.Vault.Subscriptions.Create(ctx, vaultapi.SubscriptionWrite{
		Name: "scaivault-operator", Paths: []string{"**"}, Events: feedEvents(), Owner: f.Owner,
		Delivery: vaultapi.Delivery{Type: "polling", BufferSize: feedBuffer},
	})
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	f.subscription, f.resume = s.ID, ""
	return nil
}

// Unsubscribe removes the subscriptions of an owner: the operator goes.
func Unsubscribe(ctx context.Context, subscriptions *client.Subscriptions, owner string) error {
	old, err := subscriptions.List(ctx, client.SubscriptionFilter{Owner: owner})
	if err != nil {
		return fmt.Errorf("list subscriptions: %w", err)
	}
	for _, s := range old.Subscriptions {
		if err := subscriptions.Delete(ctx, s.ID); err != nil && !vaultapi.IsNotFound(err) {
			return fmt.Errorf("remove an earlier subscription: %w", err)
		}
	}
	return nil
}

func (f *Feed) poll(ctx context.Context) error {
	got, err := f.Vault.Subscriptions.Poll(ctx, f.subscription, client.PollOptions{
		Timeout: pollWait, SinceEventID: f.resume, MaxEvents: pollEvents,
	})
	if err != nil {
		return fmt.Errorf("poll: %w", err)
	}
	if err := f.Guard.Saw(Pin{InstanceID: got.InstanceID, RestoreEpoch: got.RestoreEpoch}); err != nil {
		return err
	}
	if got.ResumeEventID != "" {
		f.resume = got.ResumeEventID
	}
	if got.Gap {
		f.Log.Info("events were missed; everything is compared")
		return f.everything(ctx)
	}
	f.deliver(ctx, got.Events)
	return nil
}

// deliver tells the sinks, once per path of a batch and once for all policies.
func (f *Feed) deliver(ctx context.Context, events []vaultapi.Event) {
	var paths, rotations, owners []string
	policies := false
	for _, e := range events {
		switch {
		case strings.HasPrefix(e.EventType, "policy."):
			policies = true
			owners = append(owners, ownerOf(e))
		case strings.HasPrefix(e.EventType, "rotation."), e.EventType == eventMetadata:
			rotations = append(rotations, e.Path)
		default:
			f.Absences.Saw(e)
			paths = append(paths, e.Path)
		}
	}
	for _, p := range distinct(rotations) {
		for _, s := range f.Rotations {
			s.Rotation(ctx, p)
		}
	}
	paths = distinct(paths)
	for _, s := range f.Sinks {
		for _, p := range paths {
			s.Secret(ctx, p)
		}
		if policies {
			s.Policies(ctx, owners)
		}
	}
}

func distinct(paths []string) []string {
	slices.Sort(paths)
	return slices.Compact(paths)
}

// ownerOf reads the owner of the policy that an event speaks of, "" if it has none.
func ownerOf(e vaultapi.Event) string {
	var data struct {
		Owner string `json:"owner"`
	}
	if json.Unmarshal(e.Data, &data) != nil {
		return ""
	}
	return data.Owner
}

// Sleep waits for d and tells whether it came to the end.
func Sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
