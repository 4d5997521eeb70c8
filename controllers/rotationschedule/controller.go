// Package rotationschedule has secrets of the vault rotated by a schedule, each with the rights of a ServiceAccount of
// the object's namespace, and keeps an old version readable until the workloads of the cluster run with the new one.
//
// The vault rotates: it holds the schedule as a rotation policy and fires by itself, also while no operator runs. The
// operator keeps that policy and the secrets under it as the object says, watches who uses a new version, and ends the
// old one when all do. What it does not end, the vault ends at the deadline.
package rotationschedule

import (
	"cmp"
	"context"
	"fmt"
	"sync"
	"time"

	ctrl "sigs.k8s.io/controller-runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/consumers"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/controllers/vaultsecret"
	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// lookAgain is the safety net; changes in the vault arrive as events.
const lookAgain = time.Hour

// +kubebuilder:rbac:groups=scaivault.io,resources=rotationschedules,verbs=get;list;watch
// +kubebuilder:rbac:groups=scaivault.io,resources=rotationschedules/status,verbs=get;patch

// guard keeps a replaced vault from doing harm; *vault.Guard fits.
type guard interface {
	Check(context.Context) error
}

// readers tells who reads a secret, and what has reached them; *vaultsecret.Readers fits.
type readers interface {
	Of(ctx context.Context, path string) ([]v1alpha1.VaultSecret, error)
	Uptake(ctx context.Context, obj *v1alpha1.VaultSecret, path, etag string) (vaultsecret.Uptake, error)
}

// metadata tells of secrets without their values; *client.Secrets fits.
type metadata interface {
	BatchMetadata(context.Context, vaultapi.BatchRequest) (*vaultapi.BatchMetadataResponse, error)
}

// Reconciler runs RotationSchedules. All exported fields are required.
type Reconciler struct {
	Runner   *reconcile.Runner
	Accounts *vault.Accounts
	// Cached reads RotationSchedules; Live is the API server itself.
	Cached, Live kube.Reader
	// Rotation is the vault's, seen as the operator; Refused is called when its token was not accepted.
	Rotation *client.Rotation
	Refused  func()
	// Secrets tells etags, as the operator.
	Secrets metadata
	Readers readers
	Guard   guard
	// Cluster is this cluster's name in the vault: the owner of what is made here.
	Cluster string
	Now     func() time.Time

	done sync.Map // by UID: the *forcing that this process carried out
}

// run is one reconcile of one object.
type run struct {
	*Reconciler
	obj     v1alpha1.RotationSchedule
	as      *vault.Session
	want    []string                               // paths that the spec selects, in order
	have    map[string]vaultapi.RotationAssignment // by path, as the vault has them under this object's policy
	refused []v1alpha1.RefusedSecret
	clashes []v1alpha1.RotationConflict
	surveys map[string]*consumers.Survey // by namespace
	pending bool                         // a request is not carried out yet
}

// Reconcile looks at one object.
func (r *Reconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &run{Reconciler: r, have: map[string]vaultapi.RotationAssignment{}, surveys: map[string]*consumers.Survey{}}
	return r.Runner.Run(ctx, req, &s.obj, reconcile.Plan{
		Release: func(ctx context.Context) error { return s.release(ctx, req.NamespacedName) },
		Steps:   []reconcile.Step{s.check, s.policy, s.choose, s.attach, s.force, s.progress, s.report},
		Done:    s.finished,
		Refresh: func() time.Duration { return lookAgain },
		Until:   s.until,
		Pending: func() bool { return s.pending },
	})
}

// check refuses what cannot be done, and becomes the ServiceAccount.
func (s *run) check(ctx context.Context) error {
	if wrong := Check(&s.obj.Spec, s.Now()); len(wrong) > 0 {
		return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("%w; correct it", wrong.ToAggregate()))
	}
	if err := s.Guard.Check(ctx); err != nil {
		return err
	}
	var err error
	s.as, err = s.Accounts.Session(ctx, s.obj.Namespace, s.obj.ServiceAccount())
	if reconcile.ReasonOf(err) == v1alpha1.ReasonServiceAccountMissing {
		return cmp.Or(s.pause(ctx), err)
	}
	return err
}

// finished is what Ready says after all steps.
func (s *run) finished() (reason, message string) {
	st := &s.obj.Status
	message = fmt.Sprintf("%d secrets are rotated", st.Secrets)
	if st.Next != nil {
		message += ", the next at " + st.Next.UTC().Format(time.RFC3339)
	}
	if st.Rotating > 0 {
		message += fmt.Sprintf("; of %d the old version is still readable", st.Rotating)
	}
	return v1alpha1.ReasonScheduled, message
}

// explain gives an error of a call its kind.
func (s *run) explain(err error, doing string) error { return explain(err, doing, s.Refused) }
