package controllers

import (
	"fmt"

	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/pkg/client"
)

// newVault makes the client of the vault, without a token.
func newVault(o Options) (*client.Client, error) {
	v, err := client.New(client.Options{BaseURL: o.VaultURL, CAFile: o.VaultCAFile, UserAgent: o.UserAgent, Timeout: vaultTimeout, Retries: -1})
	if err != nil {
		return nil, fmt.Errorf("client of the vault: %w", err)
	}
	return v, nil
}

func mintOwn(core corev1client.CoreV1Interface, o Options) vault.MintFunc {
	if o.TokenFile != "" {
		return vault.FileToken(o.TokenFile)
	}
	return vault.Minter{Accounts: core}.For(o.ServiceAccount.Namespace, o.ServiceAccount.Name, "")
}

// feedOwner owns the operator's subscription in the vault.
func feedOwner(o Options) string {
	return "k8s:" + o.Cluster + "/Operator/" + o.Namespace + "/scaivault-operator/feed"
}
