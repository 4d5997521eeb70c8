package pkiissuer

import (
	"context"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// waits is a request that waits for something: the issuer that it names, and the namespace that it comes from.
type waits struct {
	obj  kube.Object
	by   reference
	from string
}

// waiting visits the requests of a kind that wait.
type waiting func(ctx context.Context, cached kube.Reader, visit func(waits))

func waitingRequests(ctx context.Context, cached kube.Reader, visit func(waits)) {
	var l cmapi.CertificateRequestList
	if cached.List(ctx, &l, kube.UnsafeDisableDeepCopy) != nil {
		return
	}
	for i := range l.Items {
		if by, ours := issuerOf(&l.Items[i]); ours && !finished(&l.Items[i]) {
			visit(waits{&l.Items[i], by, l.Items[i].Namespace})
		}
	}
}

func waitingSigningRequests(ctx context.Context, cached kube.Reader, visit func(waits)) {
	var l certificatesv1.CertificateSigningRequestList
	if cached.List(ctx, &l, kube.UnsafeDisableDeepCopy) != nil {
		return
	}
	for i := range l.Items {
		if by, ours := signerOf(l.Items[i].Spec.SignerName); ours && len(l.Items[i].Status.Certificate) == 0 {
			visit(waits{&l.Items[i], by, namespaceOf(l.Items[i].Spec.Username)})
		}
	}
}

// uses tells whether a request is served with the rights of a ServiceAccount.
func (w waits) uses(ctx context.Context, cached kube.Reader, who types.NamespacedName) bool {
	i, err := w.by.find(ctx, cached)
	if err != nil {
		return false
	}
	its, err := account(i, w.from)
	return err == nil && its == who
}

// SetupWithManager registers the controller. The definition of CertificateRequest must be there.
func (r *Requests) SetupWithManager(mgr ctrl.Manager, inbox *reconcile.Inbox, o controller.Options) error {
	b := ctrl.NewControllerManagedBy(mgr).Named("certificaterequest").WithOptions(o).
		Watches(&cmapi.CertificateRequest{}, r.Signer.arrivals(func(obj kube.Object) bool {
			_, ours := issuerOf(obj.(*cmapi.CertificateRequest))
			return ours
		}, func(obj kube.Object) { r.Gone(ownerOf(r.Signer.Cluster, obj.(*cmapi.CertificateRequest))) })).
		WatchesRawSource(source.Func(inbox.Start))
	return r.Signer.watchIssuers(b, mgr.GetClient(), waitingRequests).Complete(r)
}

// SetupWithManager registers the controller.
func (r *SigningRequests) SetupWithManager(mgr ctrl.Manager, inbox *reconcile.Inbox, o controller.Options) error {
	b := ctrl.NewControllerManagedBy(mgr).Named("certificatesigningrequest").WithOptions(o).
		Watches(&certificatesv1.CertificateSigningRequest{}, r.Signer.arrivals(func(obj kube.Object) bool {
			_, ours := signerOf(obj.(*certificatesv1.CertificateSigningRequest).Spec.SignerName)
			return ours
		}, func(kube.Object) {})).
		WatchesRawSource(source.Func(inbox.Start))
	return r.Signer.watchIssuers(b, mgr.GetClient(), waitingSigningRequests).Complete(r)
}

// arrivals queues requests of ours, and drops what is kept of those that left, of which it tells.
func (s *Signer) arrivals(ours func(kube.Object) bool, left func(kube.Object)) handler.EventHandler {
	put := func(obj kube.Object, q queue) {
		if ours(obj) {
			reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(obj))
		}
	}
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q queue) { put(e.Object, q) },
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q queue) { put(e.ObjectNew, q) },
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, _ queue) {
			s.answers.forget(e.Object.GetUID())
			if ours(e.Object) {
				left(e.Object)
			}
		},
	}
}

// watchIssuers queues the requests that wait, when the issuer that they name came or changed, or a ServiceAccount came.
func (s *Signer) watchIssuers(b *builder.Builder, cached kube.Reader, each waiting) *builder.Builder {
	of := func(ctx context.Context, obj kube.Object, q queue) {
		changed := reference{namespace: obj.GetNamespace(), name: obj.GetName()}
		each(ctx, cached, func(w waits) {
			if w.by == changed {
				reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(w.obj))
			}
		})
	}
	changed := handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q queue) {
			if !e.IsInInitialList {
				of(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q queue) {
			was, obj := e.ObjectOld.(issuer), e.ObjectNew.(issuer)
			if obj.GetGeneration() != was.GetGeneration() || reconcile.Applied(obj) && !reconcile.Applied(was) {
				of(ctx, obj, q)
			}
		},
	}
	if !s.NamespacedOnly {
		b = b.Watches(&v1alpha1.ClusterPKIIssuer{}, changed)
	}
	return b.Watches(&v1alpha1.PKIIssuer{}, changed).
		WatchesMetadata(&corev1.ServiceAccount{}, accounts(func(ctx context.Context, came kube.Object, q queue) {
			each(ctx, cached, func(w waits) {
				if w.uses(ctx, cached, kube.ObjectKeyFromObject(came)) {
					reconcile.Enqueue(q, reconcile.ChangePriority, 0, request(w.obj))
				}
			})
		}))
}
