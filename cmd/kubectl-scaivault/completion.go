package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// completionLimit is how long somebody who pressed the tab key waits for the cluster.
const completionLimit = 3 * time.Second

// completeName completes the name of a VaultSecret.
func (a *app) completeName(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	if len(args) > 0 {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	c, err := a.cluster()
	if err != nil {
		return nil, cobra.ShellCompDirectiveNoFileComp
	}
	names := c.names(cmd.Context(), v1alpha1.GroupVersion.WithKind("VaultSecret"), client.InNamespace(c.namespace))
	return names, cobra.ShellCompDirectiveNoFileComp
}

// namespaces are the cluster's, for completion.
func (a *app) namespaces(ctx context.Context) []string {
	c, err := a.cluster()
	if err != nil {
		return nil
	}
	return c.names(ctx, corev1.SchemeGroupVersion.WithKind("Namespace"))
}

// names lists objects of a kind; where the cluster does not tell, there are none.
func (c *cluster) names(ctx context.Context, kind schema.GroupVersionKind, which ...client.ListOption) []string {
	ctx, cancel := context.WithTimeout(ctx, completionLimit)
	defer cancel()
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(kind.GroupVersion().WithKind(kind.Kind + "List"))
	if c.List(ctx, l, which...) != nil {
		return nil
	}
	var names []string
	for _, o := range l.Items {
		names = append(names, o.Name)
	}
	return names
}
