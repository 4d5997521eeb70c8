// Command kubectl-scaivault is the kubectl plugin "kubectl scaivault": what VaultSecrets do, what keeps them from
// it, and what they would write.
package main

import (
	"context"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/go-logr/logr"
	"github.com/spf13/cobra"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/scailabs/scaivault/internal/console"
)

// version is set when the program is linked: -ldflags "-X main.version=v0.1.0".
var version = "dev"

// completer is the name under which kubectl calls a plugin for completions.
const completer = "kubectl_complete-scaivault"

func main() {
	log.SetLogger(logr.Discard()) // the libraries' logs are for operators; every error is returned as well
	klog.SetLogger(logr.Discard())
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{
		Console: console.Console{In: os.Stdin, Out: os.Stdout, Errors: os.Stderr, Getenv: os.Getenv, Home: os.UserHomeDir},
		now:     time.Now,
	}
	args := os.Args[1:]
	if filepath.Base(os.Args[0]) == completer {
		args = append([]string{cobra.ShellCompRequestCmd}, args...)
	}
	code := a.run(ctx, args)
	stop()
	os.Exit(code)
}
