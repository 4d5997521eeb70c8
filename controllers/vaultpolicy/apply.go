package vaultpolicy

import (
	"context"
	"fmt"
	"reflect"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// ownerPrefix starts the owner of everything that VaultPolicies of a cluster make.
func ownerPrefix(cluster string) string { return "k8s:" + cluster + "/VaultPolicy" }

// namePrefix starts the owners of all objects of one name, of which at most one lives at a time.
func namePrefix(cluster, name string) string { return ownerPrefix(cluster) + "//" + name + "/" }

func ownerOf(cluster, name string, uid types.UID) string {
	return namePrefix(cluster, name) + string(uid)
}

func (s *run) owner() string { return ownerOf(s.Cluster, s.obj.Name, s.obj.UID) }

// name is the policy's name in the vault. The cluster is part of it, so that several clusters can have
// VaultPolicies of one name.
func (s *run) name() string { return policyName(s.Cluster, s.obj.Name) }

func policyName(cluster, name string) string { return cluster + "." + name }

// resolve finds out whom the subjects mean now.
func (s *run) resolve(ctx context.Context) error {
	var err error
	s.want, err = bindings(&s.obj.Spec, s.Cluster, func(u v1alpha1.PolicySubject) ([]string, error) {
		return s.namespaces(ctx, u.NamespaceSelector)
	}, s.Now())
	return err
}

func (s *run) namespaces(ctx context.Context, by *metav1.LabelSelector) ([]string, error) {
	selector, err := metav1.LabelSelectorAsSelector(by)
	if err != nil {
		return nil, reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("correct namespaceSelector in spec.subjects: %w", err))
	}
	l := &metav1.PartialObjectMetadataList{}
	l.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("NamespaceList"))
	if err := s.Cached.List(ctx, l, kube.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("list namespaces: %w", err)
	}
	names := make([]string, 0, len(l.Items))
	for _, ns := range l.Items {
		names = append(names, ns.Name)
	}
	return names, nil
}

// apply makes the policy in the vault say what the spec says.
func (s *run) apply(ctx context.Context) error {
	have, err := s.find(ctx)
	if err != nil {
		return err
	}
	want := vaultapi.PolicyWrite{
		Name: s.name(), Description: "VaultPolicy " + s.obj.Name + " of cluster " + s.Cluster,
		Rules: rules(&s.obj.Spec), Owner: s.owner(),
	}
	switch {
	case have == nil:
		have, err = s.Policies.Create(ctx, want)
	case !have.IsActive, have.Description != want.Description, !reflect.DeepEqual(have.Rules, want.Rules):
		have, err = s.Policies.Replace(ctx, have.ID, want)
	}
	if err != nil {
		return s.explain(err, "write policy "+s.name())
	}
	s.obj.Status.PolicyID = have.ID
	return nil
}

// find returns the policy of this object, nil if there is none. One that an earlier object of this name
// left behind is removed.
func (s *run) find(ctx context.Context) (*vaultapi.Policy, error) {
	have, err := s.Policies.Get(ctx, s.name())
	switch {
	case vaultapi.IsNotFound(err):
		return nil, nil
	case err != nil:
		return nil, s.explain(err, "look for policy "+s.name())
	case have.Owner == s.owner():
		return have, nil
	case strings.HasPrefix(have.Owner, namePrefix(s.Cluster, s.obj.Name)):
		err := s.Policies.Delete(ctx, have.ID, client.PolicyDeleteOptions{Force: true, Owner: have.Owner})
		if err != nil && !vaultapi.IsNotFound(err) {
			return nil, s.explain(err, "remove what an earlier VaultPolicy left")
		}
		return nil, nil
	}
	whose := have.Owner
	if whose == "" {
		whose = "an administrator"
	}
	return nil, reconcile.StalledFor(v1alpha1.ReasonConflict, conflictRecheck,
		fmt.Errorf("policy %s in the vault belongs to %s; rename this VaultPolicy or remove that policy", s.name(), whose))
}

// bind makes exactly the wanted bindings. What has to go goes first.
func (s *run) bind(ctx context.Context) error {
	id := s.obj.Status.PolicyID
	have, err := s.Policies.Bindings(ctx, id)
	if err != nil {
		return s.explain(err, "list bindings of policy "+s.name())
	}
	remove, add := difference(s.want, have.Bindings)
	for _, b := range remove {
		if err := s.Policies.Unbind(ctx, id, b.ID, s.owner()); err != nil && !vaultapi.IsNotFound(err) {
			return s.explain(err, "unbind "+b.IdentityID)
		}
	}
	for _, b := range add {
		b.Owner = s.owner()
		if _, err := s.Policies.Bind(ctx, id, b); err != nil {
			return s.explain(err, "bind "+b.IdentityID)
		}
	}
	s.obj.Status.Bindings = int32(len(s.want))
	return nil
}

// release removes from the vault what a VaultPolicy of a name left that is being deleted or is gone.
func (s *run) release(ctx context.Context, name string) error {
	lives, err := reconcile.Lives(ctx, s.Live, "VaultPolicy", kube.ObjectKey{Name: name})
	if err != nil || lives {
		return err
	}
	if err := s.Guard.Check(ctx); err != nil {
		return err
	}
	have, err := s.Policies.Get(ctx, policyName(s.Cluster, name))
	switch {
	case vaultapi.IsNotFound(err), err == nil && !strings.HasPrefix(have.Owner, namePrefix(s.Cluster, name)):
		return nil
	case err != nil:
		return s.explain(err, "look for policy "+policyName(s.Cluster, name))
	}
	err = s.Policies.Delete(ctx, have.ID, client.PolicyDeleteOptions{Force: true, Owner: have.Owner})
	if err != nil && !vaultapi.IsNotFound(err) {
		return s.explain(err, "remove policy "+have.Name)
	}
	return nil
}
