package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	vaultclient "github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/test/controlplane"
)

const (
	namespace = "bench"
	account   = "app"
	patience  = 10 * time.Minute
)

func own(i int) string      { return fmt.Sprintf("s%d", i) }
func sharer(i int) string   { return fmt.Sprintf("shared%d", i) }
func value(i, n int) string { return fmt.Sprintf("value-%d-%d", i, n) }

// bench is a control plane, a vault and, once started, an operator.
type bench struct {
	plane    *controlplane.Plane
	kube     client.WithWatch
	vault    *vaultclient.Client
	url      string
	dir      string
	server   *process
	operator *process
}

func prepare(ctx context.Context) (*bench, error) {
	dir, err := os.MkdirTemp("", "scaivault-bench-")
	if err != nil {
		return nil, err
	}
	b := &bench{dir: dir}
	if b.plane, err = controlplane.Up(); err != nil {
		return nil, err
	}
	scheme := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(scheme), v1alpha1.AddToScheme(scheme)); err != nil {
		return nil, err
	}
	if b.kube, err = client.NewWithWatch(b.plane.Config, client.Options{Scheme: scheme}); err != nil {
		return nil, err
	}
	root := controlplane.Root()
	for _, args := range [][]string{
		{"create", "namespace", "scaivault-system"}, {"create", "namespace", namespace},
		{"create", "serviceaccount", account, "--namespace", namespace},
		{"apply", "-k", filepath.Join(root, "config/crd")}, {"apply", "-k", filepath.Join(root, "config/rbac")},
		{"wait", "--for=condition=Established", "--timeout=60s", "crd", "--all"},
	} {
		if _, err := b.plane.Kubectl(ctx, args...); err != nil {
			return nil, err
		}
	}
	return b, b.startServer(ctx)
}

func (b *bench) close() {
	b.operator.stop()
	b.server.stop()
	_ = os.RemoveAll(b.dir)
	_ = os.RemoveAll(b.plane.Dir)
}

// fill writes a secret and applies a VaultSecret for each object, and lets their ServiceAccount read them.
func (b *bench) fill(ctx context.Context, objects int) error {
	policy, err := b.vault.Policies.Create(ctx, vaultapi.PolicyWrite{
		Name: "bench", Rules: []vaultapi.Rule{{PathPattern: "bench/**", Permissions: []string{"read", "list"}}},
	})
	if err != nil {
		return err
	}
	if _, err := b.vault.Policies.Bind(ctx, policy.ID, vaultapi.BindingWrite{IdentityID: "sa:" + namespace + ":" + account}); err != nil {
		return err
	}
	return parallel(objects, func(i int) error {
		if err := b.write(ctx, own(i), value(i, 0)); err != nil {
			return err
		}
		return b.apply(ctx, own(i), own(i))
	})
}

// share applies the objects of the fan-out row and waits until their Secrets are there.
func (b *bench) share(ctx context.Context, seen *sightings) error {
	if err := b.write(ctx, "shared", "first"); err != nil {
		return err
	}
	if err := parallel(sharers, func(i int) error { return b.apply(ctx, sharer(i), "shared") }); err != nil {
		return err
	}
	for i := range sharers {
		if _, err := seen.wait(ctx, sharer(i), "first"); err != nil {
			return err
		}
	}
	return nil
}

func (b *bench) write(ctx context.Context, name, v string) error {
	_, err := b.vault.Secrets.Write(ctx, "bench/"+name, vaultapi.WriteRequest{Data: fmt.Appendf(nil, `{"v":%q}`, v)})
	return err
}

func (b *bench) apply(ctx context.Context, name, path string) error {
	return b.kube.Create(ctx, &v1alpha1.VaultSecret{
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: namespace},
		Spec: v1alpha1.VaultSecretSpec{
			ServiceAccountName: account,
			Sources:            []v1alpha1.Source{{Name: "s", Path: v1alpha1.SecretPath("bench/" + path)}},
		},
	})
}

// settled waits until every object says Ready.
func (b *bench) settled(ctx context.Context, objects int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for ctx.Err() == nil {
		var list v1alpha1.VaultSecretList
		if err := b.kube.List(ctx, &list, client.InNamespace(namespace)); err != nil {
			return err
		}
		ready := 0
		for _, s := range list.Items {
			for _, c := range s.Status.Conditions {
				if c.Type == "Ready" && c.Status == metav1.ConditionTrue {
					ready++
				}
			}
		}
		if ready >= objects {
			return nil
		}
		<-time.After(200 * time.Millisecond)
	}
	return errors.New("not all objects became Ready")
}

// versions are the resource versions of everything that the operator may write.
func (b *bench) versions(ctx context.Context) map[string]string {
	out := map[string]string{}
	var secrets metav1.PartialObjectMetadataList
	secrets.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("SecretList"))
	var objects metav1.PartialObjectMetadataList
	objects.SetGroupVersionKind(v1alpha1.GroupVersion.WithKind("VaultSecretList"))
	for kind, list := range map[string]*metav1.PartialObjectMetadataList{"secret/": &secrets, "object/": &objects} {
		if err := b.kube.List(ctx, list, client.InNamespace(namespace)); err != nil {
			return nil
		}
		for _, o := range list.Items {
			out[kind+o.Name] = o.ResourceVersion
		}
	}
	return out
}

func changed(before, after map[string]string) int {
	n := 0
	for k := range maps.Keys(after) {
		if before[k] != after[k] {
			n++
		}
	}
	return n
}

func parallel(n int, do func(int) error) error {
	var wg sync.WaitGroup
	next := make(chan int)
	errs := make(chan error, 16)
	for range cap(errs) {
		wg.Go(func() {
			var first error
			for i := range next {
				if first == nil {
					first = do(i)
				}
			}
			errs <- first
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
	close(errs)
	var all []string
	for err := range errs {
		if err != nil {
			all = append(all, err.Error())
		}
	}
	if len(all) > 0 {
		return errors.New(strings.Join(all, "; "))
	}
	return nil
}

// sightings remembers when the watch first showed each value of each Secret.
type sightings struct {
	mu    sync.Mutex
	first map[string]time.Time // name=value
	more  chan struct{}        // closed at every sighting
}

func (b *bench) watch(ctx context.Context) (*sightings, error) {
	w, err := b.kube.Watch(ctx, &corev1.SecretList{}, client.InNamespace(namespace))
	if err != nil {
		return nil, err
	}
	s := &sightings{first: map[string]time.Time{}, more: make(chan struct{})}
	go s.collect(w)
	return s, nil
}

func (s *sightings) collect(w watch.Interface) {
	for e := range w.ResultChan() {
		secret, ok := e.Object.(*corev1.Secret)
		if !ok {
			continue
		}
		now := time.Now()
		s.mu.Lock()
		key := secret.Name + "=" + string(secret.Data["v"])
		if _, known := s.first[key]; !known {
			s.first[key] = now
			close(s.more)
			s.more = make(chan struct{})
		}
		s.mu.Unlock()
	}
}

func (s *sightings) wait(ctx context.Context, name, v string) (time.Time, error) {
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for {
		s.mu.Lock()
		at, ok := s.first[name+"="+v]
		more := s.more
		s.mu.Unlock()
		if ok {
			return at, nil
		}
		select {
		case <-more:
		case <-ctx.Done():
			return time.Time{}, ctx.Err()
		case <-limit.C:
			return time.Time{}, fmt.Errorf("the Secret %s never held %s", name, v)
		}
	}
}
