package httpapi

import (
	"maps"
	"slices"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/secrets"
)

// This file alone opens secret values. They are JSON already and go out byte for byte.

// appendSecret appends a secret with its values.
func appendSecret(b []byte, s secrets.Secret) []byte {
	b = appendInfo(b, &s.SecretInfo)
	b[len(b)-1] = ','
	b = append(b, `"data":`...)
	b = append(b, s.Data.Reveal()...)
	return append(b, '}')
}

// appendInfo appends a secret without its values.
func appendInfo(b []byte, s *vaultapi.SecretInfo) []byte {
	b = appendText(append(b, '{'), "path", s.Path)
	b = appendText(b, "secret_type", s.SecretType)
	b = appendNumber(b, "version", s.Version)
	b = appendTextIf(b, "etag", s.Etag)
	if len(s.Metadata) > 0 {
		b = appendMap(appendKey(b, "metadata"), s.Metadata)
	}
	b = appendStrings(b, "tags", s.Tags)
	b = appendNumberIf(b, "version_count", s.VersionCount)
	b = appendNumberIf(b, "max_versions", s.MaxVersions)
	b = appendNumber(b, "access_count_30d", s.AccessCount30d)
	if s.LastAccessedAt != nil {
		b = appendTime(b, "last_accessed_at", s.LastAccessedAt)
	}
	b = appendTime(b, "created_at", &s.CreatedAt)
	b = appendTime(b, "updated_at", &s.UpdatedAt)
	b = appendTime(b, "expires_at", s.ExpiresAt)
	b = appendString(appendKey(b, "notify_before"), string(s.NotifyBefore))
	b = appendTextOrNull(b, "rotation_policy_id", s.RotationPolicyID)
	b = appendTextIf(b, "rotation_status", s.RotationStatus)
	b = appendTextOrNull(b, "secret_policy_id", s.SecretPolicyID)
	return append(b, '}')
}

func appendInfoOf(b []byte, s vaultapi.SecretInfo) []byte { return appendInfo(b, &s) }

// appendSecretList appends a page. Its array stands there twice (contract OC-1) and is encoded once.
func appendSecretList(b []byte, l vaultapi.SecretList) []byte {
	b = append(appendKey(append(b, '{'), "secrets"), '[')
	start := len(b) - 1
	for i := range l.Secrets {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendInfo(b, &l.Secrets[i])
	}
	b = append(b, ']')
	array := b[start:]
	b = append(appendKey(b, "data"), array...)
	b = appendTextOrNull(b, "cursor", l.Cursor)
	b = appendKey(b, "has_more")
	if l.HasMore {
		return append(b, "true}"...)
	}
	return append(b, "false}"...)
}

// appendBatch appends a batch read.
func appendBatch(b []byte, r batchAnswer) []byte {
	b = append(appendKey(append(b, '{'), "secrets"), '{')
	for _, path := range slices.Sorted(maps.Keys(r.secrets)) {
		s := r.secrets[path]
		b = append(appendKey(b, path), '{')
		b = append(appendKey(b, "data"), s.Data.Reveal()...)
		b = appendNumber(b, "version", s.Version)
		b = appendText(b, "etag", s.Etag)
		b = appendText(b, "secret_type", s.SecretType)
		b = appendTime(b, "expires_at", s.ExpiresAt)
		if r.metadata && len(s.Metadata) > 0 {
			b = appendMap(appendKey(b, "metadata"), s.Metadata)
		}
		b = append(b, '}')
	}
	return appendBatchErrors(append(b, '}'), r.errors)
}

// appendPreview appends values that are stored nowhere.
func appendPreview(b []byte, p vaultapi.SecretPolicyPreview) []byte {
	b = appendText(append(b, '{'), "secret_policy_id", p.SecretPolicyID)
	b = append(appendKey(b, "fields"), p.Fields.Reveal()...)
	return append(b, '}')
}

// appendBatchMetadata appends a batch metadata read.
func appendBatchMetadata(b []byte, r vaultapi.BatchMetadataResponse) []byte {
	b = append(appendKey(append(b, '{'), "secrets"), '{')
	for _, path := range slices.Sorted(maps.Keys(r.Secrets)) {
		s := r.Secrets[path]
		b = appendInfo(appendKey(b, path), &s)
	}
	return appendBatchErrors(append(b, '}'), r.Errors)
}

func appendBatchErrors(b []byte, errors map[string]vaultapi.BatchError) []byte {
	b = append(appendKey(b, "errors"), '{')
	for i, path := range slices.Sorted(maps.Keys(errors)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendString(b, path), ':', '{') // the path of a failed item may be anything
		b = appendText(b, "code", errors[path].Code)
		b = append(appendText(b, "message", errors[path].Message), '}')
	}
	return append(b, '}', '}')
}

// appendIssued appends a certificate with the private key that was made for it.
func appendIssued(b []byte, c vaultapi.IssuedCertificate) []byte {
	b = appendText(append(b, '{'), "id", c.ID)
	b = appendText(b, "serial_number", c.SerialNumber)
	b = appendText(b, "certificate", c.Certificate)
	b = appendText(b, "certificate_pem", c.CertificatePEM)
	b = appendText(b, "private_key", c.PrivateKey.Reveal())
	b = appendStrings(b, "ca_chain", c.CAChain)
	b = appendText(b, "ca_chain_pem", c.CAChainPEM)
	b = appendText(b, "common_name", c.CommonName)
	b = appendTime(b, "valid_from", &c.ValidFrom)
	b = appendTime(b, "valid_until", &c.ValidUntil)
	b = appendTime(b, "not_after", &c.NotAfter)
	b = appendTextIf(b, "replaces", c.Replaces)
	return append(b, '}')
}
