package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/scailabs/scaivault/controllers"
	admission "github.com/scailabs/scaivault/webhook/v1alpha1"
)

func runCommand() *cobra.Command {
	var s settings
	var o controllers.Options
	var own, webhookCertDir string
	var policies bool
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the operator",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(&o, own); err != nil {
				return err
			}
			o.WithoutPolicies = !policies
			return run(cmd.Context(), o, webhookCertDir)
		},
	}
	f := c.Flags()
	s.flags(f)
	ownFlags(f, &o, &own)
	f.BoolVar(&o.LeaderElect, "leader-elect", false, "take part in the election of one active operator")
	f.StringVar(&o.MetricsAddress, "metrics-bind-address", "0", "host:port of the metrics; 0 for none")
	f.StringVar(&o.ProbeAddress, "health-probe-bind-address", "0", "host:port of /healthz and /readyz; 0 for none")
	f.IntVar(&o.Concurrency, "concurrency", 0, "VaultSecrets worked on at a time; 0 for the default")
	f.StringSliceVar(&o.AllowSecretTypes, "allow-secret-type", nil, "further Secret type that a target may have; may be repeated")
	f.StringSliceVar(&o.AllowNamespaces, "allow-namespace", nil, "allow targets in kube-system or the operator's own namespace; may be repeated")
	f.BoolVar(&o.RefreshPods, "refresh-pods", false, "allow VaultSecrets to ask for refreshPods: Immediate, which patches pods; needs the rights of config/refresh-pods")
	f.BoolVar(&policies, "policies", true, "look after VaultPolicies, which needs rights in the whole cluster")
	f.BoolVar(&o.RenewCertificates, "renew-certificates", true, "renew the certificates that the bootstrap made, before they end")
	f.StringVar(&webhookCertDir, "webhook-cert-dir", "", "directory with tls.crt and tls.key; with it admission is served on port 9443, see config/webhook")
	return c
}

// ownFlags are the flags of what works as the operator in the vault.
func ownFlags(f *pflag.FlagSet, o *controllers.Options, own *string) {
	f.StringVar(&o.Cluster, "cluster-name", "home", "name of this cluster in the vault; home is the one that the vault lives in")
	f.StringVar(&o.TokenFile, "token-file", "", "file with the operator's own token of audience scaivault, as a projected volume gives it")
	f.StringVar(own, "service-account", "", "the operator's ServiceAccount, NAME or NAMESPACE/NAME, to request tokens for instead of --token-file")
	f.StringSliceVar(&o.Namespaces, "namespaces", nil, "serve these namespaces only, with rights in no other; may be repeated; empty: all")
}

// run runs the operator, with admission if there are certificates for it, until ctx ends.
func run(ctx context.Context, o controllers.Options, webhookCertDir string) error {
	mgr, err := controllers.New(ctx, o)
	if err != nil {
		return err
	}
	if webhookCertDir != "" {
		if err := admission.SetupWithManager(ctx, mgr, admission.Options{CertDir: webhookCertDir}); err != nil {
			return fmt.Errorf("serve admission: %w", err)
		}
	}
	return mgr.Start(ctx)
}

// complete turns flags into options and says what is missing.
func (s *settings) complete(o *controllers.Options, own string) error {
	var err error
	if o.Log, err = s.log(); err != nil {
		return err
	}
	if o.Config, err = s.cluster(); err != nil {
		return err
	}
	if (own == "") == (o.TokenFile == "") {
		return errors.New("give one of --token-file and --service-account: the operator needs an identity of its own in the vault")
	}
	if own != "" {
		if o.ServiceAccount, err = s.account(own); err != nil {
			return err
		}
	}
	for _, ns := range o.Namespaces {
		if wrong := validation.IsDNS1123Label(ns); len(wrong) > 0 {
			return fmt.Errorf("--namespaces: %q is no namespace: %s", ns, wrong[0])
		}
	}
	o.VaultURL, o.VaultCAFile, o.Namespace = s.vaultURL, s.vaultCA, s.namespace
	o.UserAgent = "scaivault-operator/" + version
	return nil
}
