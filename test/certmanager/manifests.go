package certmanager

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	kube "sigs.k8s.io/controller-runtime/pkg/client"
)

// manifests reads what the chart installs: what is there before the programs start (definitions and rights, and a
// namespace for them), and how the webhook is registered. What only pods need is left out.
func (i *install) manifests() (definitions, registration []*unstructured.Unstructured) {
	i.Helper()
	file, err := os.Open(filepath.Join(i.assets, "install.yaml"))
	i.must(err)
	defer func() { _ = file.Close() }()
	definitions = append(definitions, &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": Namespace},
	}})
	decoder := yaml.NewYAMLOrJSONDecoder(file, 4096)
	for {
		o := &unstructured.Unstructured{}
		err := decoder.Decode(o)
		if errors.Is(err, io.EOF) {
			return definitions, registration
		}
		i.must(err)
		switch o.GetKind() {
		case "", "Deployment", "Service":
		case "ValidatingWebhookConfiguration", "MutatingWebhookConfiguration":
			registration = append(registration, o)
		default:
			definitions = append(definitions, o)
		}
	}
}

func (i *install) apply(objects ...*unstructured.Unstructured) {
	i.Helper()
	for _, o := range objects {
		err := i.kube.Apply(i.Context(), kube.ApplyConfigurationFromUnstructured(o), kube.FieldOwner("test"), kube.ForceOwnership)
		if err != nil {
			i.Fatalf("cert-manager: install %s %s: %v", o.GetKind(), o.GetName(), err)
		}
	}
}

// register has the API server ask the webhook, which serves on loopback with a certificate of the control plane's own
// authority, until the test ends.
func (i *install) register(registration []*unstructured.Unstructured) {
	i.Helper()
	authority, err := os.ReadFile(filepath.Join(i.plane.Dir, "ca.crt"))
	i.must(err)
	for _, o := range registration {
		i.must(address(o, i.port, authority))
	}
	i.Cleanup(func() { i.deregister(registration) })
	i.apply(registration...)
}

// address tells a registration at which port of loopback the webhook serves and who vouches for it.
func address(o *unstructured.Unstructured, port int, authority []byte) error {
	path := map[string]string{"ValidatingWebhookConfiguration": "/validate", "MutatingWebhookConfiguration": "/mutate"}[o.GetKind()]
	hooks, _, err := unstructured.NestedSlice(o.Object, "webhooks")
	if err != nil {
		return fmt.Errorf("%s: %w", o.GetKind(), err)
	}
	for _, h := range hooks {
		hook, ok := h.(map[string]any)
		if !ok {
			return fmt.Errorf("%s: a webhook is no object", o.GetKind())
		}
		hook["clientConfig"] = map[string]any{"url": fmt.Sprintf("https://127.0.0.1:%d%s", port, path), "caBundle": base64.StdEncoding.EncodeToString(authority)}
	}
	return unstructured.SetNestedSlice(o.Object, hooks, "webhooks")
}
