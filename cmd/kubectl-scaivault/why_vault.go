package main

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// audience and seconds are those of the operator's own token requests.
const (
	audience       = "scaivault"
	seconds  int64 = 600
)

// reach asks the vault who the user is, so that one that does not answer is said once.
func (w *walk) reach(ctx context.Context) {
	if w.vault == nil {
		return
	}
	if _, err := w.vault.Auth.Whoami(ctx); err != nil {
		w.unseen("the vault: %s", console.Explained(err))
		w.vault = nil
	}
}

// whom finds the identity that the ServiceAccount has in the vault.
func (w *walk) whom(ctx context.Context) {
	switch {
	case w.identity != "":
		w.note(linkIdentity, resultUnknown, "", "%s, as you say", w.identity)
	case w.exchange && w.vault != nil:
		w.exchanged(ctx)
	default:
		w.note(linkIdentity, resultUnknown, "", "%s by the default trust rule", identityOf(w.obj))
	}
	w.identity = cmp.Or(w.identity, identityOf(w.obj))
}

// exchanged does what the operator does: it requests a token of the ServiceAccount and exchanges it. The token
// that comes back is dropped.
func (w *walk) exchanged(ctx context.Context) {
	core, err := corev1client.NewForConfig(w.cluster.config)
	if err != nil {
		w.unseen("whom the vault takes the ServiceAccount for: %s", err)
		return
	}
	life := seconds
	token, err := core.ServiceAccounts(w.obj.Namespace).CreateToken(ctx, w.obj.ServiceAccount(), &authenticationv1.TokenRequest{
		Spec: authenticationv1.TokenRequestSpec{Audiences: []string{audience}, ExpirationSeconds: &life},
	}, metav1.CreateOptions{})
	if err != nil {
		w.unseen("whom the vault takes the ServiceAccount for: a token of it: %s", refusal(err))
		return
	}
	got, err := w.vault.Auth.Exchange(ctx, vaultapi.ExchangeRequest{SubjectToken: token.Status.Token, Audience: audience})
	switch {
	case err == nil:
		w.identity = got.IdentityID
		w.note(linkIdentity, resultOK, "", "%s, as the vault says", got.IdentityID)
	case vaultapi.IsForbidden(err), vaultapi.IsUnauthenticated(err), vaultapi.IsInvalid(err):
		w.note(linkIdentity, resultBlocks, "make a trust rule that covers it: scaivault trust add --help",
			"the vault does not accept ServiceAccount %s: %s", w.obj.ServiceAccount(), vaultapi.Code(err))
	default:
		w.unseen("whom the vault takes the ServiceAccount for: %s", console.Explained(err))
	}
}

// policies asks the vault whether the identity may read every source, and else the cluster's VaultPolicies.
func (w *walk) policies(ctx context.Context) {
	if w.vault == nil {
		w.declared(ctx)
		return
	}
	var by []string
	for _, q := range questions(&w.obj.Spec) {
		r, err := w.vault.Policies.Test(ctx, vaultapi.PolicyTest{
			IdentityID: w.identity, IdentityType: policy.TypeServiceAccount, Path: q.path, Permission: string(q.permission),
			Context: &vaultapi.PolicyTestContext{Namespace: w.obj.Namespace},
		})
		if err != nil {
			w.unseen("policies of the vault: %s", console.Explained(err))
			w.declared(ctx)
			return
		}
		if !r.Allowed {
			w.denied(ctx, q, r)
			return
		}
		by = append(by, w.policyName(ctx, r.MatchedPolicyID))
	}
	w.note(linkPolicy, resultOK, "", "%s allows it", strings.Join(unique(by), ", "))
}

// denied notes a denial. It blocks for certain unless it hangs on conditions, which the vault judges on the operator,
// or on a prefix, below which some secrets may be seen and others not.
func (w *walk) denied(ctx context.Context, q question, r *vaultapi.PolicyTestResult) {
	why := fmt.Sprintf("%s may not %s: %s", w.identity, q, cmp.Or(r.FailedCondition, r.Reason))
	if n := r.Nearest; n != nil {
		why += "; " + q.nearest(w.policyName(ctx, n.PolicyID), n.PathPattern, n.Why)
	}
	if r.FailedCondition != "" || q.prefix != "" {
		w.note(linkPolicy, resultUnknown, "", "%s", why)
		return
	}
	w.note(linkPolicy, resultBlocks, allowStep(w.obj), "%s", why)
}

// policyName is what people call a policy.
func (w *walk) policyName(ctx context.Context, id string) string {
	if p, err := w.vault.Policies.Get(ctx, id); err == nil {
		return "policy " + p.Name
	}
	return "policy " + id
}

// sources asks the vault whether every source exists; values are not asked for.
func (w *walk) sources(ctx context.Context) {
	if w.vault == nil {
		return
	}
	for _, src := range w.obj.Spec.Sources {
		err := w.exists(ctx, src)
		switch {
		case vaultapi.IsNotFound(err):
			w.note(linkSource, resultBlocks, "write it: scaivault secrets write PATH FIELD=VALUE; or correct spec.sources", "the vault has no secret %s", placeOf(src))
			return
		case err != nil:
			w.unseen("the secret %s in the vault: %s", placeOf(src), console.Explained(err))
			return
		}
	}
	w.note(linkSource, resultOK, "", "%d of %d exist", len(w.obj.Spec.Sources), len(w.obj.Spec.Sources))
}

// exists is nil if the vault has the secret, in the version that is pinned if one is, or any below the prefix.
func (w *walk) exists(ctx context.Context, src v1alpha1.Source) error {
	switch {
	case src.PathPrefix != "":
		return w.anyBelow(ctx, string(src.PathPrefix))
	case src.Version == nil:
		_, err := w.vault.Secrets.ReadMetadata(ctx, string(src.Path))
		return err
	}
	all, err := w.vault.Secrets.Versions(ctx, string(src.Path))
	if err == nil && !slices.ContainsFunc(all.Versions, func(v vaultapi.SecretVersion) bool { return v.Version == *src.Version }) {
		err = &vaultapi.Error{Status: http.StatusNotFound, Code: "version_not_found"}
	}
	return err
}

func (w *walk) anyBelow(ctx context.Context, prefix string) error {
	as := vaultsecret.Through(w.vault.Secrets)
	below, err := as.Below(ctx, prefix, 1)
	if err != nil || len(below) > 0 {
		return err
	}
	if err := as.MayList(ctx, prefix); err != nil {
		return err
	}
	return &vaultapi.Error{Status: http.StatusNotFound, Code: "secret_not_found"}
}

// placeOf says where a source is.
func placeOf(src v1alpha1.Source) string {
	switch {
	case src.PathPrefix != "":
		return "below " + string(src.PathPrefix)
	case src.Version != nil:
		return fmt.Sprintf("at %s of version %d", src.Path, *src.Version)
	}
	return "at " + string(src.Path)
}

func unique(names []string) []string {
	slices.Sort(names)
	return slices.Compact(names)
}
