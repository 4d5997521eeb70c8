package pkiissuer

import (
	"context"
	"sync"
	"time"

	"github.com/go-logr/logr"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	defaultGrace = time.Hour
	// revokeTick is how often it is looked whether a grace is over.
	revokeTick = time.Second
	// revokeRetry is the pause after a failure.
	revokeRetry = 10 * time.Second
	// reasonGone is the reason of RFC 5280 for what nobody needs any more.
	reasonGone = "cessation_of_operation"

	certificatePage = 200
)

// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get;list

// Revoker revokes what was signed for Certificates that are gone, where an issuer says so. All exported fields are
// required. What it waits for lives in memory: a process that starts anew begins the graces anew.
type Revoker struct {
	// Cached reads issuers, Live is the API server itself.
	Cached, Live kube.Reader
	// Vault is the vault as the operator; Refused is called when its token was not accepted.
	Vault   *client.PKI
	Refused func()
	Guard   guard
	Cluster string
	Serves  func(namespace string) bool
	Now     func() time.Time
	Log     logr.Logger

	mu   sync.Mutex
	gone map[string]missing // by owner
}

// missing is a Certificate that may be gone.
type missing struct {
	since time.Time // it was first missed
	look  time.Time // not before
}

// Gone notes that a Certificate may be gone.
func (r *Revoker) Gone(owner string) {
	if owner == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone == nil {
		r.gone = map[string]missing{}
	}
	if _, known := r.gone[owner]; !known {
		r.gone[owner] = missing{since: r.Now()}
	}
}

func (r *Revoker) forget(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gone, owner)
}

// later puts off the next look at an owner.
func (r *Revoker) later(owner string, look time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if m, known := r.gone[owner]; known {
		m.look = look
		r.gone[owner] = m
	}
}

// due are the owners to look at now.
func (r *Revoker) due(now time.Time) map[string]missing {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]missing{}
	for owner, m := range r.gone {
		if !m.look.After(now) {
			all[owner] = m
		}
	}
	return all
}

func (r *Revoker) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = nil
}

// Start revokes when graces are over, until ctx ends. It is a Runnable of controller-runtime.
func (r *Revoker) Start(ctx context.Context) error {
	for vault.Sleep(ctx, revokeTick) {
		now := r.Now()
		for owner, m := range r.due(now) {
			if err := r.consider(ctx, owner, m.since, now); err != nil {
				r.later(owner, now.Add(revokeRetry))
				r.Log.V(1).Info("certificates of one that is gone are not revoked yet", "owner", owner, "cause", err.Error())
			}
		}
	}
	return nil
}

// consider revokes what was signed for a Certificate that is missed since a time.
func (r *Revoker) consider(ctx context.Context, owner string, since, now time.Time) error {
	key, ours := certificateOf(r.Cluster, owner)
	graces := r.graces(ctx, key.Namespace)
	next, waits := nextGrace(graces, 0)
	switch {
	case !ours, !r.Serves(key.Namespace), !waits:
		r.forget(owner)
		return nil
	case now.Before(since.Add(next)):
		r.later(owner, since.Add(next))
		return nil
	}
	gone, err := r.isGone(ctx, key)
	if err != nil {
		return err
	}
	if !gone {
		r.forget(owner)
		return nil
	}
	return r.revoke(ctx, owner, graces, since, now)
}

// revoke revokes the certificates of an owner whose graces are over, and forgets the owner when no other grace is left.
func (r *Revoker) revoke(ctx context.Context, owner string, graces map[string]time.Duration, since, now time.Time) error {
	if err := r.Guard.Check(ctx); err != nil {
		return err
	}
	err := r.each(ctx, owner, func(c vaultapi.Certificate) error {
		if grace, revokes := graces[c.Role]; !revokes || now.Before(since.Add(grace)) {
			return nil
		}
		_, err := r.Vault.Revoke(ctx, vaultapi.CertificateRevoke{CertificateID: c.ID, Reason: reasonGone, Owner: owner})
		if err != nil && !vaultapi.IsNotFound(err) {
			return r.explain(err, "revoke certificate "+c.ID)
		}
		r.Log.Info("revoked, because its Certificate is gone", "certificate", c.ID, "serial", c.SerialNumber, "owner", owner)
		return nil
	})
	if err != nil {
		return err
	}
	if next, waits := nextGrace(graces, now.Sub(since)); waits {
		r.later(owner, since.Add(next))
	} else {
		r.forget(owner)
	}
	return nil
}

// each visits the certificates of an owner, or of all whose owners begin with its parts, that are good now.
func (r *Revoker) each(ctx context.Context, owner string, visit func(vaultapi.Certificate) error) error {
	filter := client.CertificateFilter{Owner: owner, Limit: certificatePage}
	for {
		page, err := r.Vault.Certificates(ctx, filter)
		if err != nil {
			return r.explain(err, "list the certificates of "+owner)
		}
		for _, c := range page.Certificates {
			if err := visit(c); err != nil {
				return err
			}
		}
		if page.Cursor == nil || *page.Cursor == "" {
			return nil
		}
		filter.Cursor = *page.Cursor
	}
}

func (r *Revoker) explain(err error, doing string) error {
	if vaultapi.IsUnauthenticated(err) {
		r.Refused()
	}
	return vault.Explain(err, doing)
}

// graces are the roles by which issuers that revoke serve a namespace, each with the longest of their graces.
func (r *Revoker) graces(ctx context.Context, namespace string) map[string]time.Duration {
	all := map[string]time.Duration{}
	visit := func(i issuer) {
		if ns := i.GetNamespace(); ns != "" && ns != namespace {
			return
		}
		if grace, revokes := graceOf(i.Terms().Revocation); revokes {
			all[i.Terms().Role] = max(all[i.Terms().Role], grace)
		}
	}
	eachIssuer(ctx, r.Cached, false, visit)
	eachIssuer(ctx, r.Cached, true, visit)
	return all
}

// graceOf is how long an issuer waits until it revokes, if it does. A grace that does not parse is the issuer's to tell,
// and revokes nothing.
func graceOf(v *v1alpha1.IssuerRevocation) (time.Duration, bool) {
	if v == nil || v.OnCertificateDelete != v1alpha1.RevokeAfterGrace {
		return 0, false
	}
	if v.Grace == "" {
		return defaultGrace, true
	}
	d, err := schedule.ParseDuration(string(v.Grace))
	return d, err == nil
}

// nextGrace is the shortest grace that is longer than what has passed, if there is one.
func nextGrace(graces map[string]time.Duration, passed time.Duration) (next time.Duration, waits bool) {
	for _, g := range graces {
		if g > passed && (!waits || g < next) {
			next, waits = g, true
		}
	}
	return next, waits
}
