package pki

import (
	"bytes"
	"context"
	"crypto/x509"
	"database/sql"
	"fmt"
	"slices"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/seal"
)

const (
	slotColumns = `SELECT s.uid, s.ca_id, s.state, s.serial, s.certificate, s.not_after, s.key_version, s.wrapped, s.sealed,
	s.created_at, s.activated_at, s.deactivated_at FROM pki_slots s `
	slotsOf = slotColumns + `WHERE s.tenant = $1 AND s.ca_id = $2 ORDER BY s.created_at, s.uid`
	// Slots that are trusted beside the active ones.
	slotsLive = `SELECT s.ca_id, a.name, a.ca_type, s.certificate, a.revoked_at FROM pki_slots s
	JOIN pki_authorities a ON a.tenant = s.tenant AND a.id = s.ca_id WHERE s.tenant = $1 AND s.state IN ('prepared', 'retiring')`
	slotInsert = `INSERT INTO pki_slots
	(tenant, uid, ca_id, state, serial, certificate, not_after, key_version, wrapped, sealed, created_at, activated_at, deactivated_at)
	VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)`
	slotUpdate = `UPDATE pki_slots SET state = $3, key_version = $4, wrapped = $5, sealed = $6, activated_at = $7, deactivated_at = $8
	WHERE tenant = $1 AND uid = $2`
	slotUse = `UPDATE pki_authorities SET uid = $3, serial = $4, certificate = $5, not_after = $6, key_version = $7, wrapped = $8, sealed = $9,
	revision = revision + 1 WHERE tenant = $1 AND id = $2`
	slotIssued = `SELECT COUNT(*), MAX(not_after) FROM pki_certificates WHERE tenant = $1 AND ca_id = $2 AND not_after > $3
	AND created_at BETWEEN $4 AND $5 AND revoked_at IS NULL`

	aboveFind   = `SELECT certificates FROM pki_above WHERE tenant = $1 AND uid = $2`
	aboveAll    = `SELECT certificates FROM pki_above WHERE tenant = $1`
	aboveInsert = `INSERT INTO pki_above (tenant, uid, certificates) VALUES ($1, $2, $3)`
)

// States of a slot.
const (
	slotPrepared = "prepared" // published, signs nothing yet
	slotActive   = "active"   // signs; exactly one of an authority
	slotRetiring = "retiring" // signs nothing more, published all the same
	slotRetired  = "retired"  // without a key, not published
)

const slotPrefix = "slot_"

// slot is a row of pki_slots; times are microseconds. The key of the active one stands with its authority.
type slot struct {
	UID, CA, State, Serial string
	Cert                   *x509.Certificate
	NotAfter, Created      int64
	Activated, Deactivated *int64
	Sealed                 seal.Sealed
}

func scanSlot(row scanner) (v slot, err error) {
	var der []byte
	err = row.Scan(&v.UID, &v.CA, &v.State, &v.Serial, &der, &v.NotAfter, &v.Sealed.KeyVersion, &v.Sealed.Wrapped, &v.Sealed.Value,
		&v.Created, &v.Activated, &v.Deactivated)
	if err != nil {
		return slot{}, err
	}
	if v.Cert, err = x509.ParseCertificate(der); err != nil {
		return slot{}, fmt.Errorf("certificate of slot %s: %w", v.UID, err)
	}
	return v, nil
}

// activeSlot is what an authority signs with, as a slot.
func (a authority) activeSlot() slot {
	return slot{UID: a.UID, CA: a.ID, State: slotActive, Serial: a.Serial, Cert: a.Cert, NotAfter: a.NotAfter, Created: a.Created, Activated: &a.Created}
}

func (v slot) wire() vaultapi.AuthoritySlot {
	spec := certs.SpecOf(v.Cert.PublicKey)
	return vaultapi.AuthoritySlot{
		ID: slotPrefix + v.UID, CAID: v.CA, State: v.State, SerialNumber: v.Serial, KeyType: spec.Type, KeySize: spec.Bits,
		CertificatePEM: certs.EncodeCertificates(v.Cert.Raw), ValidFrom: vaultapi.At(v.Cert.NotBefore), ValidUntil: vaultapi.At(v.Cert.NotAfter),
		CreatedAt: vaultapi.AtMicros(v.Created), ActivatedAt: vaultapi.MaybeAt(v.Activated), DeactivatedAt: vaultapi.MaybeAt(v.Deactivated),
	}
}

// insertSlot stores a slot. The key of the active one is left out.
func insertSlot(c *guard.Call, v slot) error {
	if v.State == slotActive {
		v.Sealed = seal.Sealed{}
	}
	_, err := c.Tx.Exec(slotInsert, c.Who.Tenant, v.UID, v.CA, v.State, v.Serial, v.Cert.Raw, v.NotAfter,
		v.Sealed.KeyVersion, some(v.Sealed.Wrapped), some(v.Sealed.Value), v.Created, v.Activated, v.Deactivated)
	if err != nil {
		return fmt.Errorf("store slot %s: %w", v.UID, err)
	}
	return nil
}

// updateSlot stores what may change of a slot.
func updateSlot(c *guard.Call, v slot) error {
	_, err := c.Tx.Exec(slotUpdate, c.Who.Tenant, v.UID, v.State, v.Sealed.KeyVersion, some(v.Sealed.Wrapped), some(v.Sealed.Value), v.Activated, v.Deactivated)
	if err != nil {
		return fmt.Errorf("store slot %s: %w", v.UID, err)
	}
	return nil
}

// some is never NULL.
func some(b []byte) []byte { return append([]byte{}, b...) }

// slots are all slots of an authority, the oldest first; stored tells whether its rows are there, which they are from
// its first rotation on.
func slots(query func(string, ...any) (*sql.Rows, error), tenant string, a authority) (all []slot, stored bool, err error) {
	rows, err := query(slotsOf, tenant, a.ID)
	if err != nil {
		return nil, false, fmt.Errorf("slots of authority %s: %w", a.ID, err)
	}
	if all, err = collect(rows, scanSlot); err != nil {
		return nil, false, fmt.Errorf("slots of authority %s: %w", a.ID, err)
	}
	stored = slices.ContainsFunc(all, func(v slot) bool { return v.UID == a.UID })
	if !stored {
		all = append([]slot{a.activeSlot()}, all...)
	}
	return all, stored, nil
}

// slotsNow are all slots of an authority outside of a transaction.
func (s *Service) slotsNow(ctx context.Context, tenant string, a authority) ([]slot, error) {
	all, _, err := slots(func(query string, args ...any) (*sql.Rows, error) { return s.db.Query(ctx, query, args...) }, tenant, a)
	return all, unread(err)
}

// asIssuerOf is an authority with that of its certificates whose key signed another.
func (s *Service) asIssuerOf(ctx context.Context, tenant string, a authority, signed *x509.Certificate) (authority, error) {
	if bytes.Equal(a.Cert.SubjectKeyId, signed.AuthorityKeyId) {
		return a, nil
	}
	all, err := s.slotsNow(ctx, tenant, a)
	if err != nil {
		return a, err
	}
	for _, v := range all {
		if bytes.Equal(v.Cert.SubjectKeyId, signed.AuthorityKeyId) {
			return a.with(v), nil
		}
	}
	return a, fault.Internal(fmt.Errorf("no certificate of authority %s signed that of the one below it", a.ID), "chain")
}

// with is an authority with the certificate and the key of one of its slots.
func (a authority) with(v slot) authority {
	a.Cert, a.DER, a.Serial, a.UID, a.NotAfter, a.Sealed = v.Cert, v.Cert.Raw, v.Serial, v.UID, v.NotAfter, v.Sealed
	return a
}

// external tells whether an authority was signed outside of the vault.
func (a authority) external() bool { return a.Type == typeIntermediate && a.Parent == "" }

// above are the authorities outside of the vault above one of its own.
func (s *Service) above(ctx context.Context, tenant, uid string) ([]authority, error) {
	var der []byte
	if err := s.db.QueryRow(ctx, aboveFind, tenant, uid).Scan(&der); err != nil {
		return nil, unread(fmt.Errorf("authorities outside: %w", err))
	}
	parsed, err := x509.ParseCertificates(der)
	if err != nil {
		return nil, fault.Internal(err, "authorities outside")
	}
	var all []authority
	for _, c := range parsed {
		all = append(all, authority{Name: c.Subject.String(), DER: c.Raw, Cert: c, NotAfter: c.NotAfter.UnixMicro()})
	}
	return all, nil
}
