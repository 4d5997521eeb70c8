package v1alpha1

import (
	"context"
	"errors"
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	api "github.com/scailabs/scaivault/api/v1alpha1"
)

// Paths that are served; config/webhook names the same.
const (
	PathRotationSchedule = "/validate-scaivault-io-v1alpha1-rotationschedule"
	PathVaultPolicy      = "/validate-scaivault-io-v1alpha1-vaultpolicy"
	PathVaultSecret      = "/validate-scaivault-io-v1alpha1-vaultsecret"
)

// Options say where admission is served.
type Options struct {
	// CertDir holds tls.crt and tls.key; they are read again when they change.
	CertDir string
	// Host is the address to listen on; empty: all.
	Host string
	// Port to listen on; 0: 9443.
	Port int
}

// SetupWithManager serves admission as part of mgr, before it is started. Every replica serves, also one
// that is not the leader.
func SetupWithManager(ctx context.Context, mgr manager.Manager, o Options) error {
	if o.CertDir == "" {
		return errors.New("admission needs a directory with tls.crt and tls.key")
	}
	err := mgr.GetFieldIndexer().IndexField(ctx, &api.VaultSecret{}, indexTarget, func(obj client.Object) []string {
		return []string{obj.(*api.VaultSecret).TargetName()}
	})
	if err != nil {
		return fmt.Errorf("index VaultSecrets by target: %w", err)
	}
	server := webhook.NewServer(webhook.Options{CertDir: o.CertDir, Host: o.Host, Port: o.Port})
	server.Register(PathRotationSchedule, admission.WithValidator[*api.RotationSchedule](mgr.GetScheme(), rotationValidator{now: time.Now}))
	server.Register(PathVaultPolicy, admission.WithValidator[*api.VaultPolicy](mgr.GetScheme(), policyValidator{}))
	server.Register(PathVaultSecret, admission.WithValidator[*api.VaultSecret](mgr.GetScheme(), secretValidator{secrets: mgr.GetClient()}))
	return errors.Join(mgr.Add(server), mgr.AddReadyzCheck("admission", server.StartedChecker()))
}

// specChanged tells whether an update is one to judge. The configuration sends no other; an install that
// lost its match conditions must not block a finalizer.
func specChanged[S any](obj metav1.Object, was, now S) bool {
	return obj.GetDeletionTimestamp() == nil && !equality.Semantic.DeepEqual(was, now)
}

// added leaves out what was wrong before: an object that is older than a rule can be edited piece by piece.
func added(before, after field.ErrorList) field.ErrorList {
	known := map[string]bool{}
	for _, e := range before {
		known[e.Error()] = true
	}
	var fresh field.ErrorList
	for _, e := range after {
		if !known[e.Error()] {
			fresh = append(fresh, e)
		}
	}
	return fresh
}

// invalid is the error that the API server gives for objects that its own schema refuses.
func invalid(kind, name string, wrong field.ErrorList) error {
	if len(wrong) == 0 {
		return nil
	}
	return apierrors.NewInvalid(api.GroupVersion.WithKind(kind).GroupKind(), name, wrong)
}
