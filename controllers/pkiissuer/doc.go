// Package pkiissuer signs certificates by roles of the vault for whom asks in the cluster: CertificateRequests of
// cert-manager, and CertificateSigningRequests of Kubernetes.
//
// Three controllers share it. Issuers says in the status of each PKIIssuer and ClusterPKIIssuer whether it can issue,
// and what its clients have to trust. Requests and SigningRequests serve what asks: they look up the issuer, decide
// whose rights in the vault count (identity.go), have the vault sign as that ServiceAccount (sign.go), and write what
// came of it once (verdict.go). Nothing is signed that nobody approved.
package pkiissuer
