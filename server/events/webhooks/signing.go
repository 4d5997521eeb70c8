package webhooks

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

const (
	uidPrefix = "sig_"

	insertSecret = `INSERT INTO signing_secrets (tenant, webhook_id, uid, key_version, wrapped, sealed) VALUES ($1, $2, $3, $4, $5, $6)`
	// retireSecret keeps the secret in use until an end.
	retireSecret  = `UPDATE signing_secrets SET expires_at = $3 WHERE tenant = $1 AND webhook_id = $2 AND expires_at IS NULL`
	dropPrevious  = `DELETE FROM signing_secrets WHERE tenant = $1 AND webhook_id = $2 AND expires_at IS NOT NULL`
	dropSecrets   = `DELETE FROM signing_secrets WHERE tenant = $1 AND webhook_id = $2`
	dropExpired   = `DELETE FROM signing_secrets WHERE tenant = $1 AND webhook_id = $2 AND expires_at <= $3`
	selectSecrets = `SELECT uid, key_version, wrapped, sealed, expires_at FROM signing_secrets
WHERE tenant = $1 AND webhook_id = $2 AND (expires_at IS NULL OR expires_at > $3)`
)

// sealedSecret is a signing secret on its way into its row; it is sealed before the transaction.
type sealedSecret struct {
	ref    seal.Ref
	key    seal.DataKey
	sealed []byte
}

// secretRef binds a signing secret to its webhook. No path of a secret holds a colon.
func secretRef(tenant, id, uid string) seal.Ref {
	return seal.Ref{Tenant: tenant, Path: "webhook:" + id, UID: uid, Version: 1}
}

func sealSecret(ctx context.Context, keys *seal.Keyring, tenant, id string, secret vaultapi.SigningSecret) (sealedSecret, error) {
	ref := secretRef(tenant, id, events.NewRandomID(uidPrefix))
	key, sealed, err := keys.Seal(ctx, ref, []byte(secret.Reveal()))
	if err != nil {
		return sealedSecret{}, err
	}
	return sealedSecret{ref: ref, key: key, sealed: sealed}, nil
}

// put makes s the secret in use.
func (s sealedSecret) put(tx *store.Tx, keys *seal.Keyring, id string) error {
	version, wrapped, err := keys.Wrap(tx, s.ref, s.key)
	if err != nil {
		return err
	}
	if _, err := tx.Exec(insertSecret, s.ref.Tenant, id, s.ref.UID, version, wrapped, s.sealed); err != nil {
		return fmt.Errorf("insert signing secret: %w", err)
	}
	return nil
}

// replace makes s the secret in use and keeps the one before until an end; only one is kept.
func (s sealedSecret) replace(tx *store.Tx, keys *seal.Keyring, id string, until time.Time) error {
	tenant := s.ref.Tenant
	if _, err := tx.Exec(dropPrevious, tenant, id); err != nil {
		return fmt.Errorf("drop signing secret: %w", err)
	}
	if _, err := tx.Exec(retireSecret, tenant, id, until.UnixMicro()); err != nil {
		return fmt.Errorf("retire signing secret: %w", err)
	}
	if _, err := tx.Exec(dropExpired, tenant, id, tx.Now().UnixMicro()); err != nil {
		return fmt.Errorf("drop signing secret: %w", err)
	}
	return s.put(tx, keys, id)
}

// signer signs what is sent to one webhook: with the secret in use, and during an overlap with the one before too.
type signer struct{ current, previous seal.Plaintext }

var errNoSecret = errors.New("the webhook has no signing secret")

func openSecrets(ctx context.Context, db *store.DB, keys *seal.Keyring, w webhook, now time.Time) (signer, error) {
	rows, err := db.Query(ctx, selectSecrets, w.tenant, w.id, now.UnixMicro())
	if err != nil {
		return signer{}, fmt.Errorf("signing secrets: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var s signer
	for rows.Next() {
		var uid string
		var sealed seal.Sealed
		var expires *int64
		if err := rows.Scan(&uid, &sealed.KeyVersion, &sealed.Wrapped, &sealed.Value, &expires); err != nil {
			return signer{}, fmt.Errorf("signing secrets: %w", err)
		}
		value, err := keys.OpenValue(ctx, secretRef(w.tenant, w.id, uid), sealed)
		if err != nil {
			return signer{}, fault.Internal(err, "signing secret of webhook %s", w.id)
		}
		if expires == nil {
			s.current = value
		} else {
			s.previous = value
		}
	}
	if err := rows.Err(); err != nil {
		return signer{}, fmt.Errorf("signing secrets: %w", err)
	}
	if s.current.Size() == 0 {
		return signer{}, fmt.Errorf("webhook %s: %w", w.id, errNoSecret)
	}
	return s, nil
}

// signature is over the Unix time in seconds, a dot, and the body (contract section 12.2).
func signature(secret seal.Plaintext, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, secret.Reveal())
	mac.Write(strconv.AppendInt(nil, at.Unix(), 10))
	mac.Write([]byte("."))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}
