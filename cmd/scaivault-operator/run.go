package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/scailabs/scaivault/controllers"
	admission "github.com/scailabs/scaivault/webhook/v1alpha1"
)

func runCommand() *cobra.Command {
	var s settings
	var o controllers.Options
	var own string
	var served webhook
	c := &cobra.Command{
		Use:   "run",
		Short: "Run the operator",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(&o, own); err != nil {
				return err
			}
			collectOften()
			return run(cmd.Context(), o, served)
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
	f.BoolVar(&o.RenewCertificates, "renew-certificates", true, "renew the certificates that the bootstrap made, before they end")
	f.StringVar(&served.certDir, "webhook-cert-dir", "", "directory with tls.crt and tls.key; with it admission is served, see config/webhook")
	f.StringVar(&served.address, "webhook-bind-address", ":9443", "host:port of admission")
	return c
}

// collectOften lets garbage grow to half of what lives, unless GOGC says otherwise. Most of the time the operator holds
// its caches and does nothing; what collecting more often costs is not seen in docs/benchmarks.md, what it saves is.
func collectOften() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(50)
	}
}

// ownFlags are the flags of what works as the operator in the vault.
func ownFlags(f *pflag.FlagSet, o *controllers.Options, own *string) {
	f.StringVar(&o.Cluster, "cluster-name", "home", "name of this cluster in the vault; home is the one that the vault lives in")
	f.StringVar(&o.TokenFile, "token-file", "", "file with the operator's own token of audience scaivault, as a projected volume gives it")
	f.StringVar(own, "service-account", "", "the operator's ServiceAccount, NAME or NAMESPACE/NAME, to request tokens for instead of --token-file")
	f.StringSliceVar(&o.Namespaces, "namespaces", nil, "serve these namespaces only, with rights in no other; may be repeated; empty: all")
	f.BoolFunc("policies", "look after VaultPolicies, ClusterPKIIssuers and CertificateSigningRequests, which needs rights in the whole cluster (default true)", func(text string) error {
		on, err := strconv.ParseBool(text)
		o.WithoutPolicies = !on
		return err
	})
}

// webhook says where admission is served; without certificates it is not.
type webhook struct{ certDir, address string }

func (w webhook) options() (admission.Options, error) {
	host, text, err := net.SplitHostPort(w.address)
	port, notNumber := strconv.Atoi(text)
	if err != nil || notNumber != nil || port < 1 {
		return admission.Options{}, fmt.Errorf("--webhook-bind-address %q is not host:port", w.address)
	}
	return admission.Options{CertDir: w.certDir, Host: host, Port: port}, nil
}

// run runs the operator, with admission if there are certificates for it, until ctx ends.
func run(ctx context.Context, o controllers.Options, served webhook) error {
	where, err := served.options()
	if err != nil {
		return err
	}
	mgr, err := controllers.New(ctx, o)
	if err != nil {
		return err
	}
	if served.certDir != "" {
		if err := admission.SetupWithManager(ctx, mgr, where); err != nil {
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
