package vault

import (
	"context"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Own returns a client that works as the operator itself, and a function to call when the vault refused
// its token.
func Own(vault *client.Client, mint MintFunc, now func() time.Time) (as *client.Client, refused func()) {
	b := &bearer{mint: mint, vault: vault.Auth, now: now}
	as = vault.WithToken(func(ctx context.Context) (string, error) {
		token, _, err := b.get(ctx)
		return token, err
	})
	return as, b.reset
}

// exchangeFailed says why the vault does not take a ServiceAccount for anybody.
func exchangeFailed(err error, namespace, name string) error {
	if vaultapi.IsForbidden(err) || vaultapi.IsUnauthenticated(err) || vaultapi.IsInvalid(err) {
		return reconcile.StalledFor(v1alpha1.ReasonAccessDenied, time.Minute,
			fmt.Errorf("the vault does not accept ServiceAccount %s/%s: %s; a trust rule for this cluster must cover it: see scaivault trust list", namespace, name, vaultapi.Code(err)))
	}
	return Explain(err, "exchange the token of ServiceAccount "+namespace+"/"+name)
}
