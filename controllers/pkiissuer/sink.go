package pkiissuer

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/util/wait"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
)

// calm is how long a look at an issuer that is well is put off after a policy changed, so that many changes cause one.
const calm = 5 * time.Second

// Sink turns what the event feed sees into queue entries. All fields are required.
type Sink struct {
	Cached kube.Reader
	// Issuers and ClusterIssuers are the inboxes of Issuers, Requests and SigningRequests those of the others. Nothing is
	// put into one that has not started: what waits is found when it starts.
	Issuers, ClusterIssuers   *reconcile.Inbox
	Requests, SigningRequests *reconcile.Inbox
}

var _ vault.Sink = (*Sink)(nil)

// Secret does nothing: no issuer depends on a secret.
func (*Sink) Secret(context.Context, string) {}

// Policies queues what is not well at once, because a policy may be what it waits for, and the issuers that are well
// later, because one may have been taken from them.
func (s *Sink) Policies(ctx context.Context, _ []string) {
	s.issuers(ctx, func(i issuer) bool { return reconcile.Applied(i) })
	s.requests(ctx)
}

// Replaced queues everything, so that it says so.
func (s *Sink) Replaced(ctx context.Context) {
	s.issuers(ctx, func(issuer) bool { return false })
	s.requests(ctx)
}

// Everything queues everything.
func (s *Sink) Everything(ctx context.Context) error {
	s.Replaced(ctx)
	return nil
}

func (s *Sink) issuers(ctx context.Context, later func(issuer) bool) {
	put := func(inbox *reconcile.Inbox) func(issuer) {
		return func(i issuer) {
			if later(i) {
				inbox.Add(ctx, reconcile.RefreshPriority, wait.Jitter(calm, 1), request(i))
			} else {
				inbox.Add(ctx, reconcile.ChangePriority, 0, request(i))
			}
		}
	}
	if s.Issuers.Started() {
		eachIssuer(ctx, s.Cached, false, put(s.Issuers))
	}
	if s.ClusterIssuers.Started() {
		eachIssuer(ctx, s.Cached, true, put(s.ClusterIssuers))
	}
}

func (s *Sink) requests(ctx context.Context) {
	put := func(inbox *reconcile.Inbox) func(waits) {
		return func(w waits) { inbox.Add(ctx, reconcile.ChangePriority, 0, request(w.obj)) }
	}
	if s.Requests.Started() {
		waitingRequests(ctx, s.Cached, put(s.Requests))
	}
	if s.SigningRequests.Started() {
		waitingSigningRequests(ctx, s.Cached, put(s.SigningRequests))
	}
}
