package certificates

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	admissionv1client "k8s.io/client-go/kubernetes/typed/admissionregistration/v1"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/test/controlplane"
)

// The shipped configuration gets the bundle, and again after it changed; one that cert-manager looks after does not.
func TestTrustWebhook(t *testing.T) {
	p := controlplane.Start(t)
	configurations := admissionv1client.NewForConfigOrDie(p.Config).ValidatingWebhookConfigurations()
	if _, err := TrustWebhook(t.Context(), configurations, []byte("x")); !apierrors.IsNotFound(err) {
		t.Errorf("without a configuration: %v", err)
	}
	raw, err := os.ReadFile(filepath.Join(controlplane.Root(), "config/webhook/validating.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	c := &admissionv1.ValidatingWebhookConfiguration{}
	if err := yaml.UnmarshalStrict(raw, c); err != nil {
		t.Fatal(err)
	}
	if _, err := configurations.Create(t.Context(), c, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_, _ = p.Kubectl(t.Context(), "delete", "validatingwebhookconfiguration", WebhookConfiguration)
	})
	one, two := newInstall(t).ensure(), newInstall(t).ensure()
	for _, step := range []struct {
		trust   []byte
		changed bool
	}{{one, true}, {one, false}, {two, true}} {
		changed, err := TrustWebhook(t.Context(), configurations, step.trust)
		if err != nil || changed != step.changed {
			t.Errorf("changed %t, %v", changed, err)
		}
		got, err := configurations.Get(t.Context(), WebhookConfiguration, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		for _, w := range got.Webhooks {
			if !bytes.Equal(w.ClientConfig.CABundle, step.trust) || len(w.Rules) != 1 {
				t.Errorf("%s: another bundle, or its rules are gone", w.Name)
			}
		}
	}
	got, err := configurations.Get(t.Context(), WebhookConfiguration, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	got.Annotations = map[string]string{injectedBy: "ns/certificate"}
	if bundled(got, one) {
		t.Error("cert-manager's bundle is replaced")
	}
}
