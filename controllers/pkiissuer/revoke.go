package pkiissuer

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
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
	// reasonGone is the reason of RFC 5280 for what nobody needs any more.
	reasonGone = "cessation_of_operation"

	certificatePage = 200
)

// +kubebuilder:rbac:groups=cert-manager.io,resources=certificates,verbs=get

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
	gone map[string]time.Time // owner to when its Certificate was first missed
}

// Gone notes that a Certificate may be gone.
func (r *Revoker) Gone(owner string) {
	if owner == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.gone == nil {
		r.gone = map[string]time.Time{}
	}
	if _, known := r.gone[owner]; !known {
		r.gone[owner] = r.Now()
	}
}

func (r *Revoker) forget(owner string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.gone, owner)
}

// missed are the owners whose Certificates are missed, and since when.
func (r *Revoker) missed() map[string]time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make(map[string]time.Time, len(r.gone))
	for owner, since := range r.gone {
		all[owner] = since
	}
	return all
}

// Sweep notes all Certificates for which something was signed that is good still, and that are gone: they went while no
// operator looked.
func (r *Revoker) Sweep(ctx context.Context) error {
	if err := r.Guard.Check(ctx); err != nil {
		return err
	}
	last, filter := "", client.CertificateFilter{Owner: ownersOf(r.Cluster), Limit: certificatePage}
	for {
		page, err := r.Vault.Certificates(ctx, filter)
		if err != nil {
			return r.explain(err, "list the certificates of cluster "+r.Cluster)
		}
		for _, c := range page.Certificates {
			if c.Owner == last { // they come by owner
				continue
			}
			last = c.Owner
			key, ours := certificateOf(r.Cluster, c.Owner)
			if !ours || !r.Serves(key.Namespace) {
				continue
			}
			if gone, err := r.isGone(ctx, key); err != nil {
				return err
			} else if gone {
				r.Gone(c.Owner)
			}
		}
		if page.Cursor == nil || *page.Cursor == "" {
			return nil
		}
		filter.Cursor = *page.Cursor
	}
}

// isGone asks the API server itself. One that was made anew under its name is not gone: it may use the same Secret. And
// none is while the kind is missing, which is an error, and all graces begin anew: whoever removes cert-manager does not
// mean every certificate.
func (r *Revoker) isGone(ctx context.Context, key types.NamespacedName) (bool, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(cmapi.SchemeGroupVersion.WithKind(cmapi.CertificateKind))
	err := r.Live.Get(ctx, key, m)
	if unknownKind(err) {
		r.forgetAll()
		return false, errors.New("the cluster does not know Certificates")
	}
	if apierrors.IsNotFound(err) {
		return true, nil
	}
	if err != nil {
		return false, fmt.Errorf("look whether Certificate %s is gone: %w", key, err)
	}
	return false, nil
}

// unknownKind tells whether it is the kind that is not found, and not the object.
func unknownKind(err error) bool {
	return meta.IsNoMatchError(err) || apierrors.IsNotFound(err) && apierrors.HasStatusCause(err, metav1.CauseTypeUnexpectedServerResponse)
}

func (r *Revoker) forgetAll() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.gone = nil
}

// Start revokes when graces are over, until ctx ends. It is a Runnable of controller-runtime.
func (r *Revoker) Start(ctx context.Context) error {
	for vault.Sleep(ctx, revokeTick) {
		for owner, since := range r.missed() {
			if err := r.consider(ctx, owner, r.Now().Sub(since)); err != nil {
				r.Log.V(1).Info("certificates of one that is gone are not revoked yet", "owner", owner, "cause", err.Error())
			}
		}
	}
	return nil
}

// consider revokes what was signed for a Certificate that was missed for so long.
func (r *Revoker) consider(ctx context.Context, owner string, missed time.Duration) error {
	key, ours := certificateOf(r.Cluster, owner)
	graces := r.graces(ctx, key.Namespace)
	if !ours || !r.Serves(key.Namespace) || len(graces) == 0 {
		r.forget(owner)
		return nil
	}
	if missed < shortest(graces) {
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
	return r.revoke(ctx, owner, graces, missed)
}

// revoke revokes the certificates of an owner whose graces are over, and forgets the owner when none is left.
func (r *Revoker) revoke(ctx context.Context, owner string, graces map[string]time.Duration, missed time.Duration) error {
	if err := r.Guard.Check(ctx); err != nil {
		return err
	}
	page, err := r.Vault.Certificates(ctx, client.CertificateFilter{Owner: owner, Limit: certificatePage})
	if err != nil {
		return r.explain(err, "list the certificates of "+owner)
	}
	later := page.HasMore
	for _, c := range page.Certificates {
		grace, revoked := graces[c.Role]
		if !revoked {
			continue
		}
		if missed < grace {
			later = true
			continue
		}
		_, err := r.Vault.Revoke(ctx, vaultapi.CertificateRevoke{CertificateID: c.ID, Reason: reasonGone, Owner: owner})
		if err != nil && !vaultapi.IsNotFound(err) {
			return r.explain(err, "revoke certificate "+c.ID)
		}
		r.Log.Info("revoked, because its Certificate is gone", "certificate", c.ID, "serial", c.SerialNumber, "owner", owner)
	}
	if !later {
		r.forget(owner)
	}
	return nil
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

func shortest(graces map[string]time.Duration) time.Duration {
	first := time.Duration(1<<63 - 1)
	for _, g := range graces {
		first = min(first, g)
	}
	return first
}
