package controllers

import (
	"fmt"
	"time"

	admissionv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	"sigs.k8s.io/controller-runtime/pkg/manager"

	"github.com/scailabs/scaivault/controllers/certificates"
)

// addRenewal keeps the certificates that the bootstrap made.
func (p *parts) addRenewal(mgr manager.Manager) error {
	if !p.RenewCertificates {
		return nil
	}
	admission, err := admissionv1client.NewForConfigAndClient(mgr.GetConfig(), mgr.GetHTTPClient())
	if err != nil {
		return fmt.Errorf("client of the cluster: %w", err)
	}
	log := p.Log.WithName("certificates")
	return mgr.Add(&certificates.Renewal{
		Keeper: &certificates.Keeper{
			Secrets: p.core.Secrets(p.Namespace), Namespace: p.Namespace, Now: time.Now, Say: func(line string) { log.Info(line) },
			Serving: []certificates.Serving{{Secret: certificates.SecretServer}, {Secret: certificates.SecretWebhook}},
		},
		Webhooks: admission.ValidatingWebhookConfigurations(), Log: log,
	})
}
