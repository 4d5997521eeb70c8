package v1alpha1

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// ClusterPKIIssuerSpec says what is issued, and with whose rights.
type ClusterPKIIssuerSpec struct {
	IssuerTerms `json:",inline"`

	// identity says whose rights in the vault are used.
	Identity IssuerIdentity `json:"identity"`
}

// IssuerIdentity says whose rights in the vault a ClusterPKIIssuer uses.
//
// +kubebuilder:validation:XValidation:rule="self.mode == 'Requester' || !has(self.serviceAccountName)",message="serviceAccountName is only possible with mode Requester; mode Issuer names the ServiceAccount in serviceAccountRef"
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Issuer') == has(self.serviceAccountRef)",message="serviceAccountRef is required with mode Issuer and not allowed otherwise"
// +kubebuilder:validation:XValidation:rule="(self.mode == 'Issuer') == has(self.allowedNamespaces)",message="allowedNamespaces is required with mode Issuer, where it says who may use those rights, and not allowed otherwise"
type IssuerIdentity struct {
	// mode is Requester (each namespace uses a ServiceAccount of its own, and gets what that one may) or Issuer (all use
	// one ServiceAccount, whoever asks).
	Mode IdentityMode `json:"mode"`

	// serviceAccountName is the ServiceAccount of the requester's namespace, with mode Requester; without it, default.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a ServiceAccount"
	ServiceAccountName string `json:"serviceAccountName,omitempty"`

	// serviceAccountRef is the one ServiceAccount of mode Issuer.
	// +optional
	ServiceAccountRef *ServiceAccountReference `json:"serviceAccountRef,omitempty"`

	// allowedNamespaces are those whose requests are served with mode Issuer. "*" stands for all, and for requesters who
	// are no ServiceAccount.
	// +optional
	// +listType=set
	// +kubebuilder:validation:MinItems=1
	// +kubebuilder:validation:MaxItems=256
	AllowedNamespaces []NamespaceChoice `json:"allowedNamespaces,omitempty"`
}

// IdentityMode says whose rights are used.
//
// +kubebuilder:validation:Enum=Requester;Issuer
type IdentityMode string

// Modes of spec.identity.
const (
	// RequesterIdentity uses a ServiceAccount of the namespace that asks.
	RequesterIdentity IdentityMode = "Requester"
	// IssuerIdentityMode uses one ServiceAccount for all.
	IssuerIdentityMode IdentityMode = "Issuer"
)

// NamespaceChoice is the name of a namespace, or * for all.
//
// +kubebuilder:validation:MinLength=1
// +kubebuilder:validation:MaxLength=63
// +kubebuilder:validation:XValidation:rule="self.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?|[*])$')",message="must be the name of a namespace, or * for all"
type NamespaceChoice string

// AllNamespaces stands for every namespace.
const AllNamespaces NamespaceChoice = "*"

// ServiceAccountReference names a ServiceAccount of any namespace.
type ServiceAccountReference struct {
	// namespace of the ServiceAccount.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="must be the name of a namespace"
	Namespace string `json:"namespace"`

	// name of the ServiceAccount.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="must be the name of a ServiceAccount"
	Name string `json:"name"`
}

// ClusterPKIIssuer signs certificates for CertificateRequests of every namespace by a role of the vault. cert-manager's
// Certificates name it in spec.issuerRef, with group scaivault.io.
//
// +kubebuilder:object:root=true
// +kubebuilder:resource:scope=Cluster,categories=scaivault
// +kubebuilder:subresource:status
// +kubebuilder:printcolumn:name="Role",type=string,JSONPath=`.spec.role`
// +kubebuilder:printcolumn:name="Identity",type=string,JSONPath=`.spec.identity.mode`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Expires",type=string,JSONPath=`.status.authority.expires`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:printcolumn:name="Message",type=string,priority=1,JSONPath=`.status.conditions[?(@.type=="Ready")].message`
type ClusterPKIIssuer struct {
	metav1.TypeMeta `json:",inline"`
	// +optional
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec is what is wanted.
	Spec ClusterPKIIssuerSpec `json:"spec"`
	// status is what the operator saw last.
	// +optional
	Status IssuerStatus `json:"status,omitempty"`
}

// ObjectStatus returns the part of the status that every kind has.
func (c *ClusterPKIIssuer) ObjectStatus() *ObjectStatus { return &c.Status.ObjectStatus }

// IssuerStatus returns the status.
func (c *ClusterPKIIssuer) IssuerStatus() *IssuerStatus { return &c.Status }

// Terms returns what is issued.
func (c *ClusterPKIIssuer) Terms() *IssuerTerms { return &c.Spec.IssuerTerms }

// ClusterPKIIssuerList is a list of ClusterPKIIssuers.
//
// +kubebuilder:object:root=true
type ClusterPKIIssuerList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []ClusterPKIIssuer `json:"items"`
}
