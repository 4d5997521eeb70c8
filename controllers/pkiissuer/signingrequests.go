package pkiissuer

import (
	"context"
	"fmt"
	"strings"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	certificatesv1 "k8s.io/api/certificates/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// The names of our signers begin with these.
const (
	signerNamespaced = "pkiissuers.scaivault.io/"
	signerCluster    = "clusterpkiissuers.scaivault.io/"
)

// verbReference is what who asks must be allowed on the issuer.
const verbReference = "reference"

// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=certificatesigningrequests/status,verbs=patch
// +kubebuilder:rbac:groups=certificates.k8s.io,resources=signers,resourceNames=pkiissuers.scaivault.io/*;clusterpkiissuers.scaivault.io/*,verbs=sign
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// SigningRequests serves the CertificateSigningRequests of Kubernetes that name a signer of ours. All fields are
// required.
type SigningRequests struct {
	Client kube.Client
	Signer *Signer
	Events reconcile.Recorder
	told   told
}

// Reconcile looks at one CertificateSigningRequest.
func (r *SigningRequests) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &certificatesv1.CertificateSigningRequest{}
	if err := r.Client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, kube.IgnoreNotFound(err)
	}
	by, ours := signerOf(obj.Spec.SignerName)
	switch {
	case !ours || len(obj.Status.Certificate) > 0 || !obj.DeletionTimestamp.IsZero(),
		is(obj, certificatesv1.CertificateDenied), is(obj, certificatesv1.CertificateFailed):
		r.forget(obj)
		return ctrl.Result{}, nil
	case !is(obj, certificatesv1.CertificateApproved):
		return ctrl.Result{}, nil // its approval tells
	case !r.Signer.reaches(by.namespace), !r.Signer.reaches(namespaceOf(obj.Spec.Username)):
		return ctrl.Result{}, nil // another operator's
	}
	got, err := r.serve(ctx, obj, by)
	return r.settle(ctx, obj, got, err)
}

// reaches tells whether a namespace is served, or is none.
func (s *Signer) reaches(namespace string) bool { return namespace == "" || s.Serves(namespace) }

func (r *SigningRequests) forget(obj *certificatesv1.CertificateSigningRequest) {
	r.Signer.answers.forget(obj.UID)
	r.told.forget(obj.UID)
}

// serve signs for those who may refer to the issuer. Anybody may make a request, and it may be approved by one who does
// not know whose rights the issuer uses.
func (r *SigningRequests) serve(ctx context.Context, obj *certificatesv1.CertificateSigningRequest, by reference) (*certificate, error) {
	if err := r.mayRefer(ctx, obj, by); err != nil {
		return nil, err
	}
	a := asked{uid: obj.UID, by: by, from: namespaceOf(obj.Spec.Username), csr: obj.Spec.Request, kubernetes: true}
	if obj.Spec.ExpirationSeconds != nil {
		a.life = time.Duration(*obj.Spec.ExpirationSeconds) * time.Second
	}
	for _, u := range obj.Spec.Usages {
		a.usages = append(a.usages, string(u))
	}
	return r.Signer.sign(ctx, a)
}

// mayRefer asks the API server whether who made the request may refer to the issuer.
func (r *SigningRequests) mayRefer(ctx context.Context, obj *certificatesv1.CertificateSigningRequest, by reference) error {
	review := reviewOf(obj, by)
	if err := r.Client.Create(ctx, review); err != nil {
		return fmt.Errorf("ask whether %s may refer to %s: %w", obj.Spec.Username, by, err)
	}
	if review.Status.Allowed && !review.Status.Denied {
		return nil
	}
	at := review.Spec.ResourceAttributes
	return reconcile.Stalled(ReasonReferenceDenied, fmt.Errorf(
		"%s may not refer to %s; give the verb %s on %s.%s %s", obj.Spec.Username, by, verbReference, at.Resource, at.Group, by.name))
}

func reviewOf(obj *certificatesv1.CertificateSigningRequest, by reference) *authorizationv1.SubjectAccessReview {
	resource := "clusterpkiissuers"
	if by.namespace != "" {
		resource = "pkiissuers"
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: obj.Spec.Username, UID: obj.Spec.UID, Groups: obj.Spec.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: verbReference, Group: v1alpha1.GroupVersion.Group, Version: v1alpha1.GroupVersion.Version,
			Resource: resource, Namespace: by.namespace, Name: by.name,
		},
	}}
	for key, values := range obj.Spec.Extra {
		review.Spec.Extra[key] = authorizationv1.ExtraValue(values)
	}
	return review
}

// signerOf is the issuer that the name of a signer names, if it is one of ours. A namespace has no dot, a name may.
func signerOf(name string) (reference, bool) {
	if rest, ok := strings.CutPrefix(name, signerCluster); ok {
		return reference{name: rest}, rest != ""
	}
	rest, ok := strings.CutPrefix(name, signerNamespaced)
	namespace, name, both := strings.Cut(rest, ".")
	return reference{namespace: namespace, name: name}, ok && both && namespace != "" && name != ""
}

func is(obj *certificatesv1.CertificateSigningRequest, kind certificatesv1.RequestConditionType) bool {
	for _, c := range obj.Status.Conditions {
		if c.Type == kind {
			return true // Kubernetes allows these no other status than true
		}
	}
	return false
}

// settle writes what came of a request. Kubernetes has no condition for one that waits: an event tells.
func (r *SigningRequests) settle(ctx context.Context, obj *certificatesv1.CertificateSigningRequest, got *certificate, failed error) (ctrl.Result, error) {
	before, now := obj.DeepCopy(), metav1.NewTime(r.Signer.Now())
	v := verdict{reason: ReasonIssued, message: "the certificate was signed"}
	switch {
	case failed == nil:
		obj.Status.Certificate = got.chain
	default:
		v = judge(failed)
	}
	if v.final {
		obj.Status.Conditions = append(obj.Status.Conditions, certificatesv1.CertificateSigningRequestCondition{
			Type: certificatesv1.CertificateFailed, Status: corev1.ConditionTrue, Reason: v.reason, Message: v.message,
			LastUpdateTime: now, LastTransitionTime: now,
		})
	}
	if err := patchStatus(ctx, r.Client, before, obj); err != nil {
		return after(err)
	}
	kind := corev1.EventTypeWarning
	if got != nil {
		kind = corev1.EventTypeNormal
	}
	if r.told.anew(obj.UID, v.reason) {
		r.Events.Eventf(obj, nil, kind, v.reason, "Sign", "%s", v.message)
	}
	if got != nil || v.final {
		return ctrl.Result{}, nil
	}
	return v.next()
}
