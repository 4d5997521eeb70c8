package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	kubeyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/internal/console"
)

// manifest reads the one VaultSecret of a file of YAML or JSON; objects of other kinds may stand beside it.
func (a *app) manifest(file string) (*v1alpha1.VaultSecret, error) {
	raw, err := a.ReadFile(file)
	if err != nil {
		return nil, err
	}
	var found *v1alpha1.VaultSecret
	docs := kubeyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(raw)))
	for {
		doc, err := docs.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, console.BadUsage("%s: %w", file, err)
		}
		obj, err := vaultSecretIn(doc)
		switch {
		case err != nil:
			return nil, console.BadUsage("%s: %w", file, err)
		case obj != nil && found != nil:
			return nil, console.BadUsage("%s holds VaultSecrets %s and %s: give one at a time", file, found.Name, obj.Name)
		case obj != nil:
			found = obj
		}
	}
	if found == nil {
		return nil, console.BadUsage("%s holds no VaultSecret of %s", file, v1alpha1.GroupVersion)
	}
	return found, nil
}

// vaultSecretIn reads one document, nil if it is of another kind. A field that does not exist is an error, as it
// is for the API server.
func vaultSecretIn(doc []byte) (*v1alpha1.VaultSecret, error) {
	var kind metav1.TypeMeta
	if err := yaml.Unmarshal(doc, &kind); err != nil {
		return nil, fmt.Errorf("no YAML: %w", err)
	}
	if kind.APIVersion != v1alpha1.GroupVersion.String() || kind.Kind != "VaultSecret" {
		return nil, nil
	}
	scheme, err := controllers.Scheme()
	if err != nil {
		return nil, err
	}
	obj := &v1alpha1.VaultSecret{}
	strict := serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
	if _, _, err := strict.Decode(doc, nil, obj); err != nil {
		return nil, fmt.Errorf("VaultSecret: %w: kubectl explain vaultsecret.spec tells the fields", err)
	}
	if obj.Name == "" || len(obj.Spec.Sources) == 0 {
		return nil, errors.New("VaultSecret: metadata.name and at least one of spec.sources are needed")
	}
	return obj, nil
}
