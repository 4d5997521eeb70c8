package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/scailabs/scaivault/controllers"
)

// settings are the flags that every command has.
type settings struct {
	kubeconfig string
	namespace  string
	vaultURL   string
	vaultCA    string
	logLevel   string
	logFormat  string
}

func (s *settings) flags(f *pflag.FlagSet) {
	f.StringVar(&s.kubeconfig, "kubeconfig", os.Getenv("KUBECONFIG"), "kubeconfig file; without it the cluster that this runs in (KUBECONFIG)")
	f.StringVar(&s.namespace, "namespace", "scaivault-system", "the operator's own namespace")
	f.StringVar(&s.vaultURL, "vault-url", "https://scaivault-server.scaivault-system.svc:8443", "where the vault is")
	f.StringVar(&s.vaultCA, "vault-ca-file", "", "PEM file of the authority that vouches for the vault; without it the system's")
	f.StringVar(&s.logLevel, "log-level", "info", "debug, info, warn or error")
	f.StringVar(&s.logFormat, "log-format", "json", "json or text")
}

// cluster connects with the kubeconfig that was given, or as a pod.
func (s *settings) cluster() (*rest.Config, error) {
	if s.kubeconfig == "" {
		cfg, err := rest.InClusterConfig()
		if errors.Is(err, rest.ErrNotInCluster) {
			return nil, errors.New("this is no pod of a cluster; give --kubeconfig FILE")
		}
		return cfg, err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", s.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", s.kubeconfig, err)
	}
	return cfg, nil
}

// log makes the log and hands it to the libraries below.
func (s *settings) log() (logr.Logger, error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(s.logLevel)); err != nil {
		return logr.Logger{}, fmt.Errorf("--log-level %s: use debug, info, warn or error", s.logLevel)
	}
	o := &slog.HandlerOptions{Level: level}
	var h slog.Handler = slog.NewJSONHandler(os.Stderr, o)
	if s.logFormat == "text" {
		h = slog.NewTextHandler(os.Stderr, o)
	}
	l := logr.FromSlogHandler(h)
	ctrl.SetLogger(l)
	klog.SetLogger(l)
	return l, nil
}

// account reads NAME, of the operator's own namespace, or NAMESPACE/NAME.
func (s *settings) account(text string) (controllers.Account, error) {
	ns, name, both := strings.Cut(text, "/")
	if !both {
		ns, name = s.namespace, text
	}
	if ns == "" || name == "" || strings.Contains(name, "/") {
		return controllers.Account{}, fmt.Errorf("--service-account %q: give NAME or NAMESPACE/NAME", text)
	}
	return controllers.Account{Namespace: ns, Name: name}, nil
}
