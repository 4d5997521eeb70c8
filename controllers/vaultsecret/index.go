package vaultsecret

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// Indexes of the VaultSecrets in the cache.
const (
	indexPath    = "spec.sources.path" // and pathPrefix
	indexAccount = "spec.serviceAccountName"
	indexTarget  = "spec.target.name"
	indexListed  = "spec.restart.workloads"
)

func index(ctx context.Context, to client.FieldIndexer) error {
	if err := to.IndexField(ctx, &v1alpha1.VaultSecret{}, indexPath, byPath); err != nil {
		return fmt.Errorf("index VaultSecrets by path: %w", err)
	}
	if err := to.IndexField(ctx, &v1alpha1.VaultSecret{}, indexAccount, byAccount); err != nil {
		return fmt.Errorf("index VaultSecrets by ServiceAccount: %w", err)
	}
	if err := to.IndexField(ctx, &v1alpha1.VaultSecret{}, indexTarget, byTarget); err != nil {
		return fmt.Errorf("index VaultSecrets by target: %w", err)
	}
	if err := to.IndexField(ctx, &v1alpha1.VaultSecret{}, indexListed, byListed); err != nil {
		return fmt.Errorf("index VaultSecrets by workload: %w", err)
	}
	return nil
}

// byPath gives paths and prefixes; a prefix ends in a slash, as no path does.
func byPath(o client.Object) []string {
	var all []string
	for _, s := range o.(*v1alpha1.VaultSecret).Spec.Sources {
		all = append(all, string(s.Path)+string(s.PathPrefix))
	}
	return all
}

// places are a path and the prefixes that cover it: what an object that reads it is indexed by.
func places(path string) []string {
	all := []string{path}
	for i := range path {
		if path[i] == '/' {
			all = append(all, path[:i+1])
		}
	}
	return all
}

func byAccount(o client.Object) []string { return []string{o.(*v1alpha1.VaultSecret).ServiceAccount()} }

func byTarget(o client.Object) []string { return []string{o.(*v1alpha1.VaultSecret).TargetName()} }

// byListed gives kind/name of the workloads that an object names.
func byListed(o client.Object) []string {
	r := o.(*v1alpha1.VaultSecret).Spec.Restart
	if !r.Active() {
		return nil
	}
	var listed []string
	for _, w := range r.Workloads {
		listed = append(listed, string(w.Kind)+"/"+w.Name)
	}
	return listed
}

// list reads VaultSecrets from the cache without copying them: nobody may change what it returns.
func list(ctx context.Context, from client.Reader, opts ...client.ListOption) ([]v1alpha1.VaultSecret, error) {
	var l v1alpha1.VaultSecretList
	if err := from.List(ctx, &l, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("list VaultSecrets: %w", err)
	}
	return l.Items, nil
}

func request(obj metav1.Object) ctrl.Request {
	return ctrl.Request{NamespacedName: client.ObjectKey{Namespace: obj.GetNamespace(), Name: obj.GetName()}}
}

// priority puts an object whose Secret does not exist yet ahead of all others.
func priority(obj *v1alpha1.VaultSecret) int {
	if obj.Status.LastSyncTime == nil {
		return reconcile.FirstPriority
	}
	return reconcile.ChangePriority
}
