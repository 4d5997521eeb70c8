package vaultsecret

import (
	"context"
	"fmt"
	"slices"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// Readers finds who reads a secret of the vault, and tells whether a version has reached them. All fields are required.
type Readers struct {
	Cached client.Reader
	Vault  metadataReader // as the operator
	Now    func() time.Time
}

// Uptake is what one object has of a secret.
type Uptake struct {
	// Behind says why its target may hold another version still; empty: it does not.
	Behind string
	// Content is what the target holds, zero if nothing of the secret is in it.
	Content consumers.Content
}

// Of lists the objects that read a path, by itself or by a prefix. Nobody may change them.
func (r *Readers) Of(ctx context.Context, path string) ([]v1alpha1.VaultSecret, error) {
	var all []v1alpha1.VaultSecret
	for _, place := range places(path) {
		objs, err := list(ctx, r.Cached, client.MatchingFields{indexPath: place})
		if err != nil {
			return nil, err
		}
		for i := range objs {
			twice := func(o v1alpha1.VaultSecret) bool { return o.UID == objs[i].UID }
			if !slices.ContainsFunc(all, twice) {
				all = append(all, objs[i])
			}
		}
	}
	return all, nil
}

// Uptake tells what an object has of the version of a path that an etag marks.
func (r *Readers) Uptake(ctx context.Context, obj *v1alpha1.VaultSecret, path, etag string) (Uptake, error) {
	st := &obj.Status
	if st.Target == nil {
		return Uptake{}, nil // it has no Secret, and so no older version either
	}
	held := slices.DeleteFunc(slices.Clone(st.Synced), func(y v1alpha1.SyncedSource) bool { return y.Path != path })
	if len(held) > 0 {
		return uptake(obj, held, etag), nil
	}
	if int(st.SyncedCount) <= len(st.Synced) {
		return Uptake{}, nil // nothing of it is in the Secret
	}
	return r.beyond(ctx, obj)
}

// uptake judges by what the status lists.
func uptake(obj *v1alpha1.VaultSecret, held []v1alpha1.SyncedSource, etag string) Uptake {
	since := obj.Status.LastSyncTime
	for _, y := range held {
		if y.ETag != etag {
			return Uptake{Behind: fmt.Sprintf("holds version %d%s", y.Version, because(obj, y.Source))}
		}
		since = y.AppliedAt
	}
	return Uptake{Content: contentOf(obj, since)}
}

// because says why an object does not follow, as far as its spec and its status tell.
func because(obj *v1alpha1.VaultSecret, source string) string {
	for _, src := range obj.Spec.Sources {
		if src.Name == source && src.Version != nil {
			return ", to which spec.sources pins it"
		}
	}
	switch {
	case obj.Spec.Suspend:
		return " and is suspended"
	case !reconcile.Applied(obj):
		return " and is not Ready"
	}
	return ""
}

// beyond is for a secret that the status has no room for: the object has the newest of it when it has the newest of
// all that it reads.
func (r *Readers) beyond(ctx context.Context, obj *v1alpha1.VaultSecret) (Uptake, error) {
	s := &Sink{Vault: r.Vault, Now: r.Now}
	stock, err := s.takeStock(ctx, []v1alpha1.VaultSecret{*obj})
	if err != nil {
		return Uptake{}, err
	}
	if !finished(obj) || !synced(obj, stock) {
		return Uptake{Behind: "has not written the newest of everything that it reads"}, nil
	}
	return Uptake{Content: contentOf(obj, obj.Status.LastSyncTime)}, nil
}

func contentOf(obj *v1alpha1.VaultSecret, since *metav1.Time) consumers.Content {
	c := consumers.Content{Secret: obj.Status.Target.Name, Immutable: immutable(obj)}
	if since == nil {
		since = obj.Status.LastSyncTime
	}
	if since != nil {
		c.Since = since.Time
	}
	if st := obj.Status.Restart; obj.Spec.Restart.Active() && st != nil {
		c.Mark, c.Checksum = mark(obj), st.Checksum
	}
	return c
}
