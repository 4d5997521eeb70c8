package controllers

import (
	"context"
	"fmt"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// AcceptVault pins the vault that answers now, so that the operator works again after the vault was
// replaced or restored. A running operator notices within seconds.
func AcceptVault(ctx context.Context, maps corev1client.ConfigMapsGetter, namespace, url, caFile string) (*vaultapi.Version, error) {
	c, err := client.New(client.Options{BaseURL: url, CAFile: caFile})
	if err != nil {
		return nil, err
	}
	v, err := c.System.Version(ctx)
	if err != nil {
		return nil, fmt.Errorf("ask the vault at %s who it is: %w", url, err)
	}
	pin := vault.Pin{InstanceID: v.InstanceID, RestoreEpoch: v.RestoreEpoch}
	return v, vault.ConfigMapPin{Maps: maps, Namespace: namespace}.Save(ctx, pin)
}
