package controlplane

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// The controllers of Kubernetes run, resource definitions are served, and a user has no right that
// nobody gave him.
func TestPlane(t *testing.T) {
	p := Start(t)
	p.InstallCRDs(t)
	ns := p.Namespace(t, "plane", nil)
	kube, err := kubernetes.NewForConfig(p.Config)
	if err != nil {
		t.Fatal(err)
	}
	if err := waitForServiceAccount(t.Context(), kube, ns); err != nil {
		t.Fatal(err)
	}
	token, err := p.ServiceAccountToken(t.Context(), ns, "default", "scaivault")
	if err != nil || strings.Count(token, ".") != 2 {
		t.Fatalf("token %q: %v", token, err)
	}
	path, err := p.User("bob")
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	bob := kubernetes.NewForConfigOrDie(cfg)
	if _, err := bob.CoreV1().Secrets(ns).List(t.Context(), metav1.ListOptions{}); !apierrors.IsForbidden(err) {
		t.Fatalf("a user without rights listed secrets: %v", err)
	}
}

// waitForServiceAccount waits for what kube-controller-manager makes in each new namespace.
func waitForServiceAccount(ctx context.Context, kube kubernetes.Interface, ns string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	w, err := kube.CoreV1().ServiceAccounts(ns).Watch(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	defer w.Stop()
	for e := range w.ResultChan() {
		if sa, ok := e.Object.(*corev1.ServiceAccount); ok && sa.Name == "default" {
			return nil
		}
	}
	return ctx.Err()
}
