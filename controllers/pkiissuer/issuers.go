package pkiissuer

import (
	"context"
	"errors"
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// lookAtAuthority is how often role and authority are looked at: the vault has no event for a change of either.
const lookAtAuthority = 10 * time.Minute

// +kubebuilder:rbac:groups=scaivault.io,resources=pkiissuers;clusterpkiissuers,verbs=get;list;watch
// +kubebuilder:rbac:groups=scaivault.io,resources=pkiissuers/status;clusterpkiissuers/status,verbs=get;patch

// roles tells what may be issued, and by which authority; *vault.Session fits, and *client.PKI.
type roles interface {
	Role(ctx context.Context, name string) (*vaultapi.PKIRole, error)
	Authority(ctx context.Context, id string) (*vaultapi.Authority, error)
	AuthorityCertificate(ctx context.Context, id string) (*vaultapi.AuthorityCertificate, error)
}

// judge of rights: tells whether an identity may do something; *client.Policies fits.
type rights interface {
	Test(context.Context, vaultapi.PolicyTest) (*vaultapi.PolicyTestResult, error)
}

// Issuers keeps the status of one kind of issuer. All fields are required.
type Issuers struct {
	Runner   *reconcile.Runner
	Accounts *vault.Accounts
	// Own tells of roles as the operator, where an issuer has no ServiceAccount of its own; Rights judges those of one
	// that it has. Refused is called when the operator's token was not accepted.
	Own     roles
	Rights  rights
	Refused func()
	Guard   guard
	Now     func() time.Time
	// Cluster makes it keep ClusterPKIIssuers.
	Cluster bool
}

// look is one reconcile of one issuer.
type look struct {
	*Issuers
	obj      issuer
	roles    roles
	identity string // whose rights are used; "" where each requester has his own
}

// Reconcile looks at one issuer.
func (r *Issuers) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	s := &look{Issuers: r, obj: r.empty(), roles: r.Own}
	return r.Runner.Run(ctx, req, s.obj, reconcile.Plan{
		Steps:   []reconcile.Step{s.check, s.become, s.authority, s.right},
		Done:    s.done,
		Refresh: func() time.Duration { return lookAtAuthority },
		Until:   s.until,
	})
}

func (r *Issuers) empty() issuer {
	if r.Cluster {
		return &v1alpha1.ClusterPKIIssuer{}
	}
	return &v1alpha1.PKIIssuer{}
}

// check judges the spec alone.
func (s *look) check(ctx context.Context) error {
	terms := s.obj.Terms()
	if _, err := longest(terms); err != nil {
		return err
	}
	if r := terms.Revocation; r != nil && r.Grace != "" {
		if _, err := schedule.ParseDuration(string(r.Grace)); err != nil {
			return reconcile.Stalled(v1alpha1.ReasonInvalidSpec, fmt.Errorf("spec.revocation.grace: %w; correct it", err))
		}
	}
	return s.Guard.Check(ctx)
}

// become works as the ServiceAccount that the issuer has, if it has one.
func (s *look) become(ctx context.Context) error {
	who, ok := s.ownAccount()
	if !ok {
		return nil
	}
	as, err := s.Accounts.Session(ctx, who.Namespace, who.Name)
	if err != nil {
		return err
	}
	s.roles, s.identity = as, as.Identity
	return nil
}

// ownAccount is the ServiceAccount of an issuer that uses the same one for all.
func (s *look) ownAccount() (types.NamespacedName, bool) {
	switch i := s.obj.(type) {
	case *v1alpha1.PKIIssuer:
		return types.NamespacedName{Namespace: i.Namespace, Name: i.ServiceAccount()}, true
	case *v1alpha1.ClusterPKIIssuer:
		if ref := i.Spec.Identity.ServiceAccountRef; ref != nil {
			return types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name}, true
		}
	}
	return types.NamespacedName{}, false
}

// authority finds the role and what issues by it, and tells what has to be trusted.
func (s *look) authority(ctx context.Context) error {
	name, st := s.obj.Terms().Role, s.obj.IssuerStatus()
	role, err := s.roles.Role(ctx, name)
	if err != nil {
		return s.explain(err, "read role "+name)
	}
	ca, err := s.roles.Authority(ctx, role.CAID)
	if err != nil {
		return s.explain(err, "read authority "+role.CAID)
	}
	text, err := s.roles.AuthorityCertificate(ctx, role.CAID)
	if err != nil {
		return s.explain(err, "read the certificate of authority "+ca.Name)
	}
	if st.CABundle, err = top(text); err != nil {
		return err
	}
	st.Authority = &v1alpha1.IssuingAuthority{ID: ca.ID, Name: ca.Name, Expires: metav1.NewTime(ca.ValidUntil.Time)}
	if !ca.IsActive {
		return reconcile.StalledFor(v1alpha1.ReasonAuthorityInactive, lookAgain, fmt.Errorf(
			"authority %s of role %s is revoked or has expired; give the role another", ca.Name, name))
	}
	return nil
}

// top is the highest certificate that is known above an authority, or its own.
func top(text *vaultapi.AuthorityCertificate) (string, error) {
	chain, err := certs.ParseCertificates("certificate_pem", text.CertificatePEM+text.CAChainPEM)
	if err != nil {
		return "", reconcile.Retrying(v1alpha1.ReasonVaultUnavailable, errors.New("what the vault answers about its authority cannot be read; see whether its address is that of a vault"))
	}
	return certs.EncodeCertificates(chain[len(chain)-1].Raw), nil
}

// right tells whether the ServiceAccount may issue by the role, without issuing.
func (s *look) right(ctx context.Context) error {
	if s.identity == "" {
		return nil
	}
	role := s.obj.Terms().Role
	got, err := s.Rights.Test(ctx, vaultapi.PolicyTest{IdentityID: s.identity, Path: "pki:" + role, Permission: "issue"})
	if err != nil {
		if vaultapi.IsUnauthenticated(err) {
			s.Refused()
		}
		return vault.Explain(err, "ask whether "+s.identity+" may issue by role "+role)
	}
	if !got.Allowed {
		return denied(s.identity, role, got.Reason)
	}
	return nil
}

// explain gives an error of the vault its meaning for an issuer.
func (s *look) explain(err error, doing string) error {
	role := s.obj.Terms().Role
	switch code := vaultapi.Code(err); {
	case vaultapi.IsForbidden(err):
		return denied(s.identity, role, code)
	case code == codeRoleNotFound, code == codeInvalidRole:
		return missingRole(role)
	case vaultapi.IsUnauthenticated(err) && s.identity == "":
		s.Refused()
	}
	return vault.Explain(err, doing)
}

func missingRole(role string) error {
	return reconcile.StalledFor(v1alpha1.ReasonRoleMissing, lookAgain, fmt.Errorf("the vault has no role %s; create it, or correct spec.role of the issuer", role))
}

func (s *look) done() (reason, message string) {
	st := s.obj.IssuerStatus()
	who := s.identity
	if who == "" {
		who = "the ServiceAccount of each requester's namespace"
	}
	return v1alpha1.ReasonIssuing, fmt.Sprintf("role %s issues by authority %s, with the rights of %s", s.obj.Terms().Role, st.Authority.Name, who)
}

// until looks again when the authority ends.
func (s *look) until() time.Time {
	if a := s.obj.IssuerStatus().Authority; a != nil && a.Expires.After(s.Now()) {
		return a.Expires.Add(time.Second)
	}
	return time.Time{}
}
