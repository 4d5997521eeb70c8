package certificates

import (
	"context"
	"time"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	admissionv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
)

// +kubebuilder:rbac:groups="",namespace=scaivault-system,resources=secrets,resourceNames=scaivault-ca;scaivault-server-tls;scaivault-operator-webhook-tls,verbs=get;update

// lookEvery is how often the certificates are looked at: a few reads of single objects.
const lookEvery = time.Minute

// Renewal renews the certificates while the operator leads. It is a Runnable of controller-runtime.
type Renewal struct {
	Keeper   *Keeper
	Webhooks admissionv1client.ValidatingWebhookConfigurationInterface
	Log      logr.Logger
}

// Start looks at the certificates until ctx ends.
func (r *Renewal) Start(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	for said := ""; ; {
		said = r.tell(ctx, r.look(ctx), said)
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tell logs a trouble once, and returns it.
func (r *Renewal) tell(ctx context.Context, err error, said string) string {
	if err == nil || ctx.Err() != nil {
		return ""
	}
	if err.Error() != said {
		r.Log.Info("certificates were not looked after", "cause", err.Error())
	}
	return err.Error()
}

func (r *Renewal) look(ctx context.Context) error {
	authorities, err := r.Keeper.Ensure(ctx)
	if err != nil || authorities == nil {
		return err
	}
	changed, err := TrustWebhook(ctx, r.Webhooks, authorities)
	if apierrors.IsNotFound(err) || apierrors.IsForbidden(err) { // an install without admission has neither it nor the right
		return nil
	}
	if changed {
		r.Log.Info("the API server believes admission by the present authorities")
	}
	return err
}
