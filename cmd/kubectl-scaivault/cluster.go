package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/pflag"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers"
	"github.com/scailabs/scaivault/internal/console"
)

// kubeFlags are kubectl's own, as far as they are needed here.
type kubeFlags struct {
	rules     *clientcmd.ClientConfigLoadingRules
	overrides clientcmd.ConfigOverrides
}

func (k *kubeFlags) bind(f *pflag.FlagSet) {
	k.rules = clientcmd.NewDefaultClientConfigLoadingRules()
	f.StringVar(&k.rules.ExplicitPath, "kubeconfig", "", "kubeconfig file")
	f.StringVar(&k.overrides.CurrentContext, "context", "", "context of the kubeconfig")
	f.StringVarP(&k.overrides.Context.Namespace, "namespace", "n", "", "namespace; default the context's")
	f.StringVar(&k.overrides.AuthInfo.Impersonate, "as", "", "user to act as in the cluster")
	f.StringArrayVar(&k.overrides.AuthInfo.ImpersonateGroups, "as-group", nil, "group to act as in the cluster; may be repeated")
}

// cluster is the cluster as the user sees it.
type cluster struct {
	client.Client
	config    *rest.Config
	namespace string
}

// cluster reads the kubeconfig; nothing is sent yet.
func (a *app) cluster() (*cluster, error) {
	loaded := clientcmd.NewNonInteractiveDeferredLoadingClientConfig(a.kube.rules, &a.kube.overrides)
	config, err := loaded.ClientConfig()
	if clientcmd.IsEmptyConfig(err) {
		return nil, console.BadUsage("no cluster is configured: set KUBECONFIG or give --kubeconfig FILE")
	}
	if err != nil {
		return nil, console.Mistake(err)
	}
	namespace, _, err := loaded.Namespace()
	if err != nil {
		return nil, console.Mistake(err)
	}
	scheme, err := controllers.Scheme()
	if err != nil {
		return nil, err
	}
	config.UserAgent, config.QPS = "kubectl-scaivault/"+version, -1 // the API server's own fairness limits us
	c, err := client.New(config, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("client of the cluster: %w", err)
	}
	return &cluster{Client: c, config: config, namespace: namespace}, nil
}

// seen gives an error of the cluster its exit code and its next step.
func seen(err error) error {
	var noKind *meta.NoKindMatchError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &noKind):
		return fmt.Errorf("the cluster does not know %s: install ScaiVault in it, or choose another with --context", noKind.GroupKind.Kind)
	case apierrors.IsUnauthorized(err):
		return console.Coded(console.Authentication, fmt.Errorf("the cluster does not know who you are: %w", err))
	case apierrors.IsForbidden(err):
		return console.Coded(console.Authorization, fmt.Errorf("%w: ask for a role that allows it, such as view or edit in the namespace", err))
	case apierrors.IsNotFound(err):
		return console.Absent(err)
	case apierrors.IsInvalid(err), apierrors.IsBadRequest(err):
		return console.Mistake(err)
	}
	return fmt.Errorf("the cluster does not answer as it should: %w", err)
}

// vaultSecret reads one VaultSecret of the namespace.
func (c *cluster) vaultSecret(ctx context.Context, name string) (*v1alpha1.VaultSecret, error) {
	obj := &v1alpha1.VaultSecret{}
	err := c.Get(ctx, client.ObjectKey{Namespace: c.namespace, Name: name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, console.Absent(fmt.Errorf("there is no VaultSecret %s in namespace %s: kubectl scaivault status -n %s lists them", name, c.namespace, c.namespace))
	}
	return obj, seen(err)
}
