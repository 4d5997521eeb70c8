package certificates

import (
	"bytes"
	"context"
	"fmt"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
)

const (
	// WebhookConfiguration is the configuration by which the API server asks the operator.
	WebhookConfiguration = "scaivault"
	// injectedBy is there when cert-manager sets the bundle: two would undo each other's work.
	injectedBy = "cert-manager.io/inject-ca-from"
)

// TrustWebhook makes the API server believe admission by the authorities, and tells whether that was news to it.
// The error keeps the kind that Kubernetes gave it.
func TrustWebhook(ctx context.Context, configurations admissionv1client.ValidatingWebhookConfigurationInterface, authorities []byte) (changed bool, err error) {
	c, err := configurations.Get(ctx, WebhookConfiguration, metav1.GetOptions{})
	if err != nil {
		return false, fmt.Errorf("read ValidatingWebhookConfiguration %s: %w", WebhookConfiguration, err)
	}
	if !bundled(c, authorities) {
		return false, nil
	}
	if _, err := configurations.Update(ctx, c, metav1.UpdateOptions{}); err != nil {
		return false, fmt.Errorf("set caBundle of ValidatingWebhookConfiguration %s: %w", WebhookConfiguration, err)
	}
	return true, nil
}

// bundled puts the bundle into the webhooks that are reached as a Service, and tells whether any had another.
func bundled(c *admissionv1.ValidatingWebhookConfiguration, authorities []byte) bool {
	changed := false
	for i := range c.Webhooks {
		to := &c.Webhooks[i].ClientConfig
		if to.Service != nil && !bytes.Equal(to.CABundle, authorities) && c.Annotations[injectedBy] == "" {
			to.CABundle, changed = authorities, true
		}
	}
	return changed
}
