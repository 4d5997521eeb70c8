package controllers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/controllers/pkiissuer"
)

const (
	// signConcurrency is how many requests are signed at a time; each waits for the vault most of its time.
	signConcurrency = 8
	// lookForKind is how often it is looked whether cert-manager has come.
	lookForKind = 5 * time.Second
)

// addIssuers serves PKIIssuers and what asks them for certificates, and, with rights in the whole cluster,
// ClusterPKIIssuers and CertificateSigningRequests.
func (p *parts) addIssuers(mgr manager.Manager) error {
	signer := &pkiissuer.Signer{
		Cached: mgr.GetClient(), Accounts: p.accounts, Guard: p.guard, Now: time.Now,
		NamespacedOnly: p.WithoutPolicies, Serves: p.serves, Cluster: p.Cluster,
	}
	revoker := &pkiissuer.Revoker{
		Cached: mgr.GetClient(), Live: mgr.GetAPIReader(), Vault: p.own.PKI, Refused: p.refused, Guard: p.guard, Cluster: p.Cluster,
		Serves: p.serves, Now: time.Now, Log: p.Log.WithName("revocation"),
	}
	sink := &pkiissuer.Sink{
		Cached: mgr.GetClient(), Issuers: reconcile.NewInbox(), ClusterIssuers: reconcile.NewInbox(),
		Requests: reconcile.NewInbox(), SigningRequests: reconcile.NewInbox(),
	}
	p.sinks = append(p.sinks, sink)
	err := errors.Join(p.issuers(mgr, false, "PKIIssuer").SetupWithManager(mgr, sink.Issuers, p.options(1)), p.addRequests(mgr, &pkiissuer.Requests{
		Client: mgr.GetClient(), Signer: signer, Events: mgr.GetEventRecorder("scaivault-operator"), Gone: revoker.Gone,
	}, sink.Requests), mgr.Add(revoker), p.addSweep(mgr, revoker.Sweep))
	if p.WithoutPolicies {
		return err
	}
	r := &pkiissuer.SigningRequests{Client: mgr.GetClient(), Signer: signer, Events: mgr.GetEventRecorder("scaivault-operator")}
	return errors.Join(err, p.issuers(mgr, true, "ClusterPKIIssuer").SetupWithManager(mgr, sink.ClusterIssuers, p.options(1)),
		r.SetupWithManager(mgr, sink.SigningRequests, p.options(signConcurrency)))
}

func (p *parts) issuers(mgr manager.Manager, cluster bool, kind string) *pkiissuer.Issuers {
	return &pkiissuer.Issuers{
		Runner: p.runner(mgr, kind), Accounts: p.accounts, Own: p.own.PKI, Rights: p.own.Policies, Refused: p.refused,
		Guard: p.guard, Now: time.Now, Cluster: cluster,
	}
}

// serves tells whether a namespace is served.
func (p *parts) serves(namespace string) bool {
	return len(p.Namespaces) == 0 || slices.Contains(p.Namespaces, namespace)
}

// addRequests serves CertificateRequests from when the cluster has them: cert-manager may be installed later, or never,
// and nothing else of the operator waits for it.
func (p *parts) addRequests(mgr manager.Manager, r *pkiissuer.Requests, inbox *reconcile.Inbox) error {
	return mgr.Add(manager.RunnableFunc(func(ctx context.Context) error {
		if !p.requestsKnown(ctx, mgr.GetRESTMapper()) {
			return nil
		}
		if err := r.SetupWithManager(mgr, inbox, p.options(signConcurrency)); err != nil {
			return fmt.Errorf("controller of CertificateRequest: %w", err)
		}
		return nil
	}))
}

// requestsKnown waits until the API server knows CertificateRequests, and tells whether it came to that.
func (p *parts) requestsKnown(ctx context.Context, mapper meta.RESTMapper) bool {
	kind, told := cmapi.SchemeGroupVersion.WithKind(cmapi.CertificateRequestKind), false
	for {
		_, err := mapper.RESTMapping(kind.GroupKind(), kind.Version)
		if err == nil {
			p.Log.V(1).Info("CertificateRequests of cert-manager are served")
			return true
		}
		if !told {
			told = true
			p.Log.Info("the cluster has no CertificateRequests: PKIIssuers serve them as soon as cert-manager is installed", "cause", err.Error())
		}
		if !vault.Sleep(ctx, lookForKind) {
			return false
		}
	}
}
