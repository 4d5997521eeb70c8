package pki

import (
	"context"
	"crypto/x509"
	"database/sql"
	"encoding/pem"
	"errors"
	"fmt"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

const (
	keyInsert = `INSERT INTO pki_private_keys (tenant, certificate_id, uid, key_version, wrapped, sealed) VALUES ($1, $2, $3, $4, $5, $6)`
	keyFind   = `SELECT uid, key_version, wrapped, sealed FROM pki_private_keys WHERE tenant = $1 AND certificate_id = $2`
)

// sealOwn seals the private key of a certificate where its role keeps keys and the key is not the caller's own.
func (s *Service) sealOwn(ctx context.Context, tenant string, m *made) error {
	if !m.role.StorePrivateKeys || m.key == nil {
		return nil
	}
	k, err := s.sealKey(ctx, keyReference(tenant, m.id, newID("")), m.key)
	m.sealed = &k
	return err
}

// insertKey stores the private key of a certificate that is to be kept.
func (s *Service) insertKey(c *guard.Call, m made) error {
	if m.sealed == nil {
		return nil
	}
	version, wrapped, err := s.keys.Wrap(c.Tx, m.sealed.ref, m.sealed.key)
	if err != nil {
		return sealing(err, m.id)
	}
	if _, err := c.Tx.Exec(keyInsert, c.Who.Tenant, m.id, m.sealed.ref.UID, version, wrapped, m.sealed.value); err != nil {
		return fmt.Errorf("store the key of certificate %s: %w", m.id, err)
	}
	return nil
}

// CertificateKey returns the private key of a certificate as PEM (PKCS #8), where its role kept it. Scope pki:admin, and
// permission issue on the role. Error: certificate_not_found, also where no key is kept.
func (s *Service) CertificateKey(ctx context.Context, who guard.Caller, id string) (vaultapi.KeyText, error) {
	return guard.Do(ctx, s.guard, who, admin(ActionKeyRead, id), func(*guard.Call) (vaultapi.KeyText, error) {
		r, err := s.certificate(ctx, who.Tenant, certificateFind, id)
		if err != nil {
			return vaultapi.KeyText{}, err
		}
		if err := s.mayIssue(ctx, who, r); err != nil {
			return vaultapi.KeyText{}, err
		}
		return s.openOwn(ctx, who.Tenant, r.ID)
	})
}

// mayIssue hides a certificate from those who, by the newest policies, may not issue by its role.
func (s *Service) mayIssue(ctx context.Context, who guard.Caller, r record) error {
	seen, _, err := s.guard.Allowed(ctx, who, policy.Issue, policy.ClassPKI)
	if err == nil && !seen(r.Role) {
		return certificateNotFound(r.ID)
	}
	return err
}

// openOwn opens the private key of a certificate.
func (s *Service) openOwn(ctx context.Context, tenant, id string) (vaultapi.KeyText, error) {
	var uid string
	var sealed seal.Sealed
	err := s.db.QueryRow(ctx, keyFind, tenant, id).Scan(&uid, &sealed.KeyVersion, &sealed.Wrapped, &sealed.Value)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return vaultapi.KeyText{}, fault.NotFound(fault.CodeCertificateNotFound,
			"no private key of certificate %s is kept: its role does not say store_private_keys, or the key was the caller's own", id)
	case err != nil:
		return vaultapi.KeyText{}, unread(fmt.Errorf("key of certificate %s: %w", id, err))
	}
	plain, err := s.keys.OpenValue(ctx, keyReference(tenant, id, uid), sealed)
	if err != nil {
		return vaultapi.KeyText{}, sealing(err, id)
	}
	if _, err := x509.ParsePKCS8PrivateKey(plain.Reveal()); err != nil {
		return vaultapi.KeyText{}, fault.Internal(errors.New("the key of a certificate cannot be read"), "certificate %s", id)
	}
	return keyText(plain.Reveal()), nil
}

// keyText is a private key as callers get it.
func keyText(der []byte) vaultapi.KeyText {
	return vaultapi.NewKeyText(string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}
