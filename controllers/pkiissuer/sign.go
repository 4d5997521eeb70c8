package pkiissuer

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/vault"
	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// Codes of the contract (section 17) that are told apart here.
const (
	codeRoleNotFound = "role_not_found"
	codeInvalidRole  = "invalid_role"
	codeCAInactive   = "ca_inactive"
)

// guard keeps a replaced vault from issuing; *vault.Guard fits.
type guard interface {
	Check(context.Context) error
}

// Signer has certificates signed, whichever API asks for them. All exported fields are required.
type Signer struct {
	// Cached reads issuers.
	Cached   kube.Reader
	Accounts *vault.Accounts
	Guard    guard
	Now      func() time.Time
	// NamespacedOnly leaves ClusterPKIIssuers to somebody else: they need rights in the whole cluster.
	NamespacedOnly bool
	// Serves tells whether a namespace is served by this operator.
	Serves func(namespace string) bool
	// Cluster is this cluster's name in the vault: the owner of what issuers that revoke have signed.
	Cluster string

	answers answers
}

// asked is what somebody wants to have signed.
type asked struct {
	uid    types.UID // of the request
	by     reference // the issuer
	from   string    // namespace of who asks; "": no ServiceAccount
	csr    []byte
	life   time.Duration // 0: as long as possible
	isCA   bool
	owner  string   // the Certificate that it is for, as the vault names owners; "": none
	usages []string // as cert-manager and Kubernetes call them
	// kubernetes tells that the request came by the certificates API of Kubernetes.
	kubernetes bool
}

// sign gives the certificate for a request that was approved. Its errors are those of judge.
func (s *Signer) sign(ctx context.Context, a asked) (*certificate, error) {
	if err := a.check(); err != nil {
		return nil, err
	}
	if s.NamespacedOnly && a.by.namespace == "" {
		return nil, reconcile.Stalled(ReasonNotServed, errors.New("this operator serves namespaces only, and no ClusterPKIIssuer; use a PKIIssuer"))
	}
	i, err := a.by.find(ctx, s.Cached)
	if err != nil {
		return nil, err
	}
	if a.kubernetes && i.Terms().KubernetesCSR != v1alpha1.Enabled {
		return nil, reconcile.Stalled(ReasonNotServed, fmt.Errorf("%s does not serve CertificateSigningRequests; set its spec.kubernetesCSR to Enabled", a.by))
	}
	who, err := account(i, a.from)
	if err != nil {
		return nil, err
	}
	return s.answers.once(a.uid, func() (*certificate, error) { return s.ask(ctx, a, i, who) })
}

// ask has the vault sign as a ServiceAccount.
func (s *Signer) ask(ctx context.Context, a asked, i issuer, who types.NamespacedName) (*certificate, error) {
	most, err := longest(i.Terms())
	if err != nil {
		return nil, err
	}
	if err := s.Guard.Check(ctx); err != nil {
		return nil, err
	}
	as, err := s.Accounts.Session(ctx, who.Namespace, who.Name)
	if err != nil {
		return nil, err
	}
	w := vaultapi.CertificateSign{CSRPEM: string(a.csr)}
	if d := life(a.life, most); d > 0 {
		w.TTL = fmt.Sprintf("%ds", int64(d/time.Second))
	}
	if _, revokes := graceOf(i.Terms().Revocation); revokes {
		w.Owner = a.owner
	}
	role := i.Terms().Role
	got, err := as.Sign(ctx, role, w)
	if err != nil {
		return nil, explain(err, as.Identity, role)
	}
	return a.fits(got, s.Now())
}

// usages are those that certificates of the vault have, or that do no harm to a certificate without: an EC key enciphers
// none.
func usages() []string {
	return []string{"signing", "digital signature", "key encipherment", "server auth", "client auth"}
}

// check refuses what is never signed, whatever the issuer is.
func (a asked) check() error {
	if _, err := certs.ParseRequest("spec.request", string(a.csr)); err != nil {
		return refuse(ReasonRequestRefused, err)
	}
	if a.isCA {
		return refuse(ReasonRequestRefused, errors.New("spec.isCA: roles sign no authorities; make one in the vault"))
	}
	for _, u := range a.usages {
		if !slices.Contains(usages(), u) {
			return refuse(ReasonRequestRefused, fmt.Errorf("spec.usages: %q is not issued; allowed are %s", u, strings.Join(usages(), ", ")))
		}
	}
	return nil
}

// explain gives an error of the vault its meaning for a request.
func explain(err error, identity, role string) error {
	var e *vaultapi.Error
	switch code := vaultapi.Code(err); {
	case vaultapi.IsForbidden(err):
		return denied(identity, role, code)
	case code == codeRoleNotFound, code == codeInvalidRole:
		return missingRole(role)
	case code == codeCAInactive && errors.As(err, &e):
		return reconcile.StalledFor(v1alpha1.ReasonAuthorityInactive, lookAgain, fmt.Errorf("role %s: %s; give the role another authority", role, e.Message))
	case vaultapi.IsInvalid(err) && errors.As(err, &e):
		return refuse(ReasonRequestRefused, fmt.Errorf("role %s refuses the request: %s", role, rules(e)))
	}
	return vault.Explain(err, "sign by role "+role)
}

func denied(identity, role, code string) error {
	return reconcile.StalledFor(v1alpha1.ReasonAccessDenied, lookAgain, fmt.Errorf(
		"%s may not issue by role %s (%s); let a VaultPolicy name the ServiceAccount as a subject and allow issue on pki:%s", identity, role, code, role))
}

// rules tells which field breaks which rule.
func rules(e *vaultapi.Error) string {
	fields, ok := e.Details["fields"].(map[string]any)
	if !ok || len(fields) == 0 {
		return e.Message
	}
	var all []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		all = append(all, fmt.Sprintf("%s %v", name, fields[name]))
	}
	return strings.Join(all, "; ")
}
