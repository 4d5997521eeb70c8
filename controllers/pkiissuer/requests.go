package pkiissuer

import (
	"context"
	"errors"
	"strings"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	cmmeta "github.com/cert-manager/cert-manager/pkg/apis/meta/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// +kubebuilder:rbac:groups=cert-manager.io,resources=certificaterequests,verbs=get;list;watch
// +kubebuilder:rbac:groups=cert-manager.io,resources=certificaterequests/status,verbs=patch

// Requests serves the CertificateRequests of cert-manager that name an issuer of ours. All fields are required.
type Requests struct {
	Client kube.Client
	Signer *Signer
	Events reconcile.Recorder
	// Gone is told the owner of a request that was deleted: its Certificate may be gone.
	Gone func(owner string)
}

// Reconcile looks at one CertificateRequest.
func (r *Requests) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &cmapi.CertificateRequest{}
	if err := r.Client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, kube.IgnoreNotFound(err)
	}
	by, ours := issuerOf(obj)
	switch {
	case !ours || finished(obj) || !obj.DeletionTimestamp.IsZero():
		r.Signer.answers.forget(obj.UID)
		return ctrl.Result{}, nil
	case holds(obj, cmapi.CertificateRequestConditionDenied):
		return r.settle(ctx, obj, nil, refuse(ReasonRequestDenied, errors.New("the request was denied")))
	case !holds(obj, cmapi.CertificateRequestConditionApproved):
		return ctrl.Result{}, nil // its approval tells
	}
	a := wanted(obj, by)
	a.owner = ownerOf(r.Signer.Cluster, obj)
	got, err := r.Signer.sign(ctx, a)
	return r.settle(ctx, obj, got, err)
}

// issuerOf is the issuer that a request names, if it is one of ours.
func issuerOf(obj *cmapi.CertificateRequest) (reference, bool) {
	ref := obj.Spec.IssuerRef
	switch {
	case ref.Group != v1alpha1.GroupVersion.Group:
		return reference{}, false
	case ref.Kind == KindNamespaced:
		return reference{namespace: obj.Namespace, name: ref.Name}, true
	}
	return reference{name: ref.Name}, ref.Kind == KindCluster
}

// wanted reads what a request asks for. What its user said of himself does not count: the namespace does.
func wanted(obj *cmapi.CertificateRequest, by reference) asked {
	a := asked{uid: obj.UID, by: by, from: obj.Namespace, csr: obj.Spec.Request, isCA: obj.Spec.IsCA}
	if obj.Spec.Duration != nil {
		a.life = obj.Spec.Duration.Duration
	}
	for _, u := range obj.Spec.Usages {
		a.usages = append(a.usages, string(u))
	}
	return a
}

// holds tells whether a condition is true.
func holds(obj *cmapi.CertificateRequest, kind cmapi.CertificateRequestConditionType) bool {
	c := conditionOf(obj, kind)
	return c != nil && c.Status == cmmeta.ConditionTrue
}

func conditionOf(obj *cmapi.CertificateRequest, kind cmapi.CertificateRequestConditionType) *cmapi.CertificateRequestCondition {
	for i := range obj.Status.Conditions {
		if c := &obj.Status.Conditions[i]; c.Type == kind {
			return c
		}
	}
	return nil
}

// finished tells whether nothing is to be done for a request any more.
func finished(obj *cmapi.CertificateRequest) bool {
	if len(obj.Status.Certificate) > 0 || holds(obj, cmapi.CertificateRequestConditionInvalidRequest) {
		return true
	}
	ready := conditionOf(obj, cmapi.CertificateRequestConditionReady)
	if ready == nil {
		return false
	}
	switch ready.Reason {
	case cmapi.CertificateRequestReasonIssued, cmapi.CertificateRequestReasonFailed, cmapi.CertificateRequestReasonDenied:
		return true
	}
	return false
}

// settle writes what came of a request, once, and says when to look again.
func (r *Requests) settle(ctx context.Context, obj *cmapi.CertificateRequest, got *certificate, failed error) (ctrl.Result, error) {
	before, now := obj.DeepCopy(), metav1.NewTime(r.Signer.Now())
	v := verdict{reason: ReasonIssued, message: "the certificate was signed"}
	if failed != nil {
		v = judge(failed)
	}
	v.record(obj, got, now)
	if err := patchStatus(ctx, r.Client, before, obj); err != nil {
		return after(err)
	}
	r.announce(before, obj, v)
	if got != nil || v.final { // what was signed is kept until the cache shows it
		return ctrl.Result{}, nil
	}
	return v.next()
}

// record puts a verdict into the status. cert-manager knows four reasons of Ready; ours stands before the message.
func (v verdict) record(obj *cmapi.CertificateRequest, got *certificate, now metav1.Time) {
	c := cmapi.CertificateRequestCondition{
		Type: cmapi.CertificateRequestConditionReady, Status: cmmeta.ConditionFalse,
		Reason: cmapi.CertificateRequestReasonPending, Message: v.reason + ": " + v.message, LastTransitionTime: &now,
	}
	switch {
	case got != nil:
		obj.Status.Certificate, obj.Status.CA = got.chain, got.ca
		c.Status, c.Reason, c.Message = cmmeta.ConditionTrue, cmapi.CertificateRequestReasonIssued, "the certificate has serial number "+got.serial
	case v.final:
		obj.Status.FailureTime, c.Reason = &now, cmapi.CertificateRequestReasonFailed
		if v.reason == ReasonRequestDenied {
			c.Reason = cmapi.CertificateRequestReasonDenied
		}
	}
	if was := conditionOf(obj, c.Type); v.retry != nil && was != nil && was.Reason == c.Reason && whyOf(was) == v.reason {
		return // said before; the number of the vault's answer differs each time
	}
	set(obj, c)
}

// whyOf is our reason in the message of a condition.
func whyOf(c *cmapi.CertificateRequestCondition) string {
	why, _, _ := strings.Cut(c.Message, ":")
	return why
}

// set replaces a condition; its time moves only with its status.
func set(obj *cmapi.CertificateRequest, c cmapi.CertificateRequestCondition) {
	was := conditionOf(obj, c.Type)
	if was == nil {
		obj.Status.Conditions = append(obj.Status.Conditions, c)
		return
	}
	if was.Status == c.Status {
		c.LastTransitionTime = was.LastTransitionTime
	}
	*was = c
}

// announce tells in an event what became of a request, once per reason.
func (r *Requests) announce(before, obj *cmapi.CertificateRequest, v verdict) {
	was, is := conditionOf(before, cmapi.CertificateRequestConditionReady), conditionOf(obj, cmapi.CertificateRequestConditionReady)
	if was != nil && was.Reason == is.Reason && whyOf(was) == whyOf(is) {
		return
	}
	kind := corev1.EventTypeWarning
	if is.Status == cmmeta.ConditionTrue {
		kind = corev1.EventTypeNormal
	}
	r.Events.Eventf(obj, nil, kind, v.reason, "Sign", "%s", v.message)
}
