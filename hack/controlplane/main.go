// Command controlplane runs etcd, kube-apiserver and kube-controller-manager on free loopback ports until it
// is told to stop. Once all serve, --dir holds `kubeconfig` (cluster-admin) and then `ready`.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/scailabs/scaivault/test/controlplane"
)

func main() {
	dir := flag.String("dir", "", "where to write kubeconfig and ready")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "controlplane:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, os.Interrupt, syscall.SIGTERM)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	plane, err := controlplane.Up()
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(plane.Dir) }()
	config, err := os.ReadFile(plane.Kubeconfig)
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "kubeconfig"), config, 0o600); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "ready"), []byte(plane.URL+"\n"), 0o600); err != nil {
		return err
	}
	<-stop
	return nil
}
