package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// IssuerTerms say what is issued; both kinds of issuer have them.
type IssuerTerms struct {
	// role is the role of the vault by which certificates are signed: it says which names, keys and lives are allowed.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=64
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9_-]+$')",message="must be the name of a role: 1 to 64 of a-z, 0-9, - and _"
	Role string `json:"role"`

	// maxDuration is the longest life of a certificate of this issuer; whoever asks for more gets this much. Role and
	// authority may allow less. Without it, what the role allows.
	// +optional
	MaxDuration Duration `json:"maxDuration,omitempty"`

	// kubernetesCSR serves CertificateSigningRequests of Kubernetes as well: Enabled or Disabled; without it, Disabled.
	// The signer's name is clusterpkiissuers.scaivault.io/<name> of a ClusterPKIIssuer, and
	// pkiissuers.scaivault.io/<namespace>.<name> of a PKIIssuer. Who asks needs the verb reference on this object.
	// +optional
	KubernetesCSR Switch `json:"kubernetesCSR,omitempty"`

	// revocation says when certificates are revoked; without it, never by the operator.
	// +optional
	Revocation *IssuerRevocation `json:"revocation,omitempty"`
}

// Switch is on or off.
//
// +kubebuilder:validation:Enum=Enabled;Disabled
type Switch string

// Positions of a Switch.
const (
	Enabled  Switch = "Enabled"
	Disabled Switch = "Disabled"
)

// IssuerRevocation says when certificates are revoked.
//
// +kubebuilder:validation:XValidation:rule="self.onCertificateDelete == 'AfterGrace' || !has(self.grace)",message="grace is only possible with onCertificateDelete AfterGrace"
type IssuerRevocation struct {
	// onCertificateDelete says what becomes of what was issued for a Certificate of cert-manager that is deleted: Never
	// revokes nothing, AfterGrace revokes it when the grace is over and no Certificate of that name is there. What was
	// signed for a request that no Certificate had made, or while this said Never, is never revoked.
	OnCertificateDelete RevocationChoice `json:"onCertificateDelete"`

	// grace is the time between the deletion and the revocation; without it, 1h. It counts from when the operator sees
	// that the Certificate is gone: an operator that starts anew in between makes it longer, never shorter.
	// +optional
	Grace Duration `json:"grace,omitempty"`
}

// RevocationChoice says whether a deletion revokes.
//
// +kubebuilder:validation:Enum=Never;AfterGrace
type RevocationChoice string

// Choices of spec.revocation.onCertificateDelete.
const (
	RevokeNever      RevocationChoice = "Never"
	RevokeAfterGrace RevocationChoice = "AfterGrace"
)

// PKIIssuerSpec says what is issued, and with whose rights.
type PKIIssuerSpec struct {
	IssuerTerms `json:",inline"`

	// serviceAccountName is the ServiceAccount of this namespace whose rights in the vault are used: it needs permission
	// issue on the role. Without it, default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a ServiceAccount in this namespace"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`
}

// IssuerStatus is what the operator saw last; both kinds of issuer have it.
type IssuerStatus struct {
	ObjectStatus `json:",inline"`

	// authority is the one that the role issues by.
	// +optional
	Authority *IssuingAuthority `json:"authority,omitempty"`

	// caBundle holds the certificates that a client has to trust, in PEM: the root above the authority, or the highest
	// that the vault knows.
	// +optional
	// +kubebuilder:validation:MaxLength=65536
	CABundle string `json:"caBundle,omitempty"`
}

// IssuingAuthority identifies an authority of the vault.
type IssuingAuthority struct {
	// id in the vault.
	// +kubebuilder:validation:MaxLength=128
	ID string `json:"id"`
	// name in the vault.
	// +kubebuilder:validation:MaxLength=253
	Name string `json:"name"`
	// expires is when its certificate ends; nothing that it issues lives longer.
	Expires metav1.Time `json:"expires"`
}

// PKIIssuer signs certificates for the CertificateRequests of its namespace by a role of the vault, with the rights of
// a ServiceAccount of that namespace. cert-manager's Certificates name it in spec.issuerRef, with group scaivault.io.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:categories=scaivault
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.authority.expires`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type PKIIssuer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec PKIIssuerSpec `json:"spec"`
	// status is what the operator saw last.
	// +optional
	Status IssuerStatus `json:"status,omitempty"`
}

// ObjectStatus returns the part of the status that every kind has.
func (p *PKIIssuer) ObjectStatus() *ObjectStatus { return &p.Status.ObjectStatus }

// IssuerStatus returns the status.
func (p *PKIIssuer) IssuerStatus() *IssuerStatus { return &p.Status }

// Terms returns what is issued.
func (p *PKIIssuer) Terms() *IssuerTerms { return &p.Spec.IssuerTerms }

// ServiceAccount is the name of the ServiceAccount whose rights are used.
func (p *PKIIssuer) ServiceAccount() string {
	if p.Spec.ServiceAccountName == "" {
		return "default"
	}
	return p.Spec.ServiceAccountName
}

// PKIIssuerList is a list of PKIIssuers.
//
// +kubebuilder:object:root=true
type PKIIssuerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []PKIIssuer `json:"items"`
}
