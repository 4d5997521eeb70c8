// Command scaivault reads and writes secrets, policies and the audit trail of a ScaiVault server.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/scailabs/scaivault/internal/console"
)

// version is set when the program is linked: -ldflags "-X main.version=v0.1.0".
var version = "dev"

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	a := &app{Console: console.Console{In: os.Stdin, Out: os.Stdout, Errors: os.Stderr, Getenv: os.Getenv, Home: os.UserHomeDir}, now: time.Now}
	code := a.run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}
