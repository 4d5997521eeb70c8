package controllers_test

import "testing"

// The API server refuses an issuer that cannot mean what it says.
func TestPKIIssuerSchema(t *testing.T) {
	refuse(t, "pkiissuers", []schemaCase{
		{name: "smallest", spec: "role: svc-mtls"},
		{name: "full", spec: "role: svc-mtls\nserviceAccountName: issuer\nmaxDuration: 7d\nkubernetesCSR: Enabled\nrevocation: {onCertificateDelete: AfterGrace, grace: 24h}"},
		{name: "no role", spec: "maxDuration: 7d", want: "spec.role"},
		{name: "empty role", spec: "role: ''", want: "spec.role"},
		{name: "a role with a slash", spec: "role: ../issue/other", want: "must be the name of a role"},
		{name: "a role in upper case", spec: "role: Svc", want: "must be the name of a role"},
		{name: "a long role", spec: "role: " + "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", want: "spec.role"},
		{name: "no life", spec: "role: a\nmaxDuration: 0s", want: "must be a positive duration"},
		{name: "life in words", spec: "role: a\nmaxDuration: long", want: "must be a positive duration"},
		{name: "a switch that is none", spec: "role: a\nkubernetesCSR: true", want: "spec.kubernetesCSR"},
		{name: "another switch", spec: "role: a\nkubernetesCSR: Maybe", want: "Unsupported value"},
		{name: "revocation of something", spec: "role: a\nrevocation: {}", want: "spec.revocation.onCertificateDelete"},
		{name: "revocation at once", spec: "role: a\nrevocation: {onCertificateDelete: Now}", want: "Unsupported value"},
		{name: "a grace for nothing", spec: "role: a\nrevocation: {onCertificateDelete: Never, grace: 1h}", want: "grace is only possible with onCertificateDelete AfterGrace"},
		{name: "no grace", spec: "role: a\nrevocation: {onCertificateDelete: AfterGrace, grace: 0s}", want: "must be a positive duration"},
		{name: "an account of another namespace", spec: "role: a\nserviceAccountName: other/issuer", want: "must be the name of a ServiceAccount in this namespace"},
		{name: "an identity", spec: "role: a\nidentity: {mode: Requester}", want: "unknown field"},
		{name: "a vault of its own", spec: "role: a\nurl: https://evil.example", want: "unknown field"},
	})
}

// A ClusterPKIIssuer says whose rights it uses, and lends those of one ServiceAccount to nobody by mistake.
func TestClusterPKIIssuerSchema(t *testing.T) {
	of := func(identity string) string { return "role: a\nidentity: " + identity }
	refuse(t, "clusterpkiissuers", []schemaCase{
		{name: "smallest", spec: of("{mode: Requester}")},
		{name: "requester", spec: of("{mode: Requester, serviceAccountName: issuer}") + "\nmaxDuration: 7d\nkubernetesCSR: Disabled\nrevocation: {onCertificateDelete: Never}"},
		{name: "issuer", spec: of("{mode: Issuer, serviceAccountRef: {namespace: pki, name: signer}, allowedNamespaces: [shop, billing]}")},
		{name: "issuer for all", spec: of("{mode: Issuer, serviceAccountRef: {namespace: pki, name: signer}, allowedNamespaces: ['*']}")},
		{name: "no identity", spec: "role: a", want: "spec.identity"},
		{name: "no mode", spec: of("{serviceAccountName: issuer}"), want: "spec.identity.mode"},
		{name: "another mode", spec: of("{mode: Operator}"), want: "Unsupported value"},
		{name: "issuer for nobody", spec: of("{mode: Issuer, serviceAccountRef: {namespace: pki, name: signer}}"), want: "allowedNamespaces is required with mode Issuer"},
		{name: "issuer for an empty list", spec: of("{mode: Issuer, serviceAccountRef: {namespace: pki, name: signer}, allowedNamespaces: []}"), want: "allowedNamespaces"},
		{name: "issuer without an account", spec: of("{mode: Issuer, allowedNamespaces: [a]}"), want: "serviceAccountRef is required with mode Issuer"},
		{name: "issuer by name only", spec: of("{mode: Issuer, serviceAccountName: signer, allowedNamespaces: [a]}"), want: "serviceAccountName is only possible with mode Requester"},
		{name: "requester with an account", spec: of("{mode: Requester, serviceAccountRef: {namespace: pki, name: signer}}"), want: "serviceAccountRef is required with mode Issuer and not allowed otherwise"},
		{name: "requester with namespaces", spec: of("{mode: Requester, allowedNamespaces: [a]}"), want: "not allowed otherwise"},
		{name: "a pattern of namespaces", spec: of("{mode: Issuer, serviceAccountRef: {namespace: pki, name: signer}, allowedNamespaces: ['shop-*']}"), want: "must be the name of a namespace, or * for all"},
		{name: "a namespace twice", spec: of("{mode: Issuer, serviceAccountRef: {namespace: pki, name: signer}, allowedNamespaces: [a, a]}"), want: "Duplicate value"},
		{name: "an account of a path", spec: of("{mode: Issuer, serviceAccountRef: {namespace: ../pki, name: signer}, allowedNamespaces: [a]}"), want: "must be the name of a namespace"},
	})
}
