package secrets

import (
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// Data of events (contract section 12.4). None holds a value.

type createdData struct {
	Version    int64          `json:"version"`
	SecretType string         `json:"secret_type"`
	CreatedBy  string         `json:"created_by"`
	Tags       []string       `json:"tags"`
	ExpiresAt  *vaultapi.Time `json:"expires_at"`
}

type updatedData struct {
	OldVersion int64  `json:"old_version"`
	NewVersion int64  `json:"new_version"`
	UpdatedBy  string `json:"updated_by"`
	IsRotation bool   `json:"is_rotation"`
}

type deletedData struct {
	VersionCount     int64          `json:"version_count"`
	DeletedBy        string         `json:"deleted_by"`
	Permanent        bool           `json:"permanent"`
	RecoverableUntil *vaultapi.Time `json:"recoverable_until,omitempty"`
}

type restoredData struct {
	Version    int64  `json:"version"`
	RestoredBy string `json:"restored_by"`
}

type expiringData struct {
	ExpiresAt     *vaultapi.Time `json:"expires_at"`
	DaysRemaining int64          `json:"days_remaining"` // days begun
	Threshold     string         `json:"threshold"`      // as in notify_before
}

type expiredData struct {
	ExpiresAt *vaultapi.Time `json:"expires_at"`
	Version   int64          `json:"version"`
}

type metadataUpdatedData struct {
	Version   int64    `json:"version"`
	UpdatedBy string   `json:"updated_by"`
	Tags      []string `json:"tags"`
}

func emitWritten(c *guard.Call, info vaultapi.SecretInfo, rotation bool) error {
	if info.Version == 1 {
		return c.Emit(EventCreated, info.Path, createdData{
			Version: 1, SecretType: info.SecretType, CreatedBy: c.Who.ID, Tags: info.Tags, ExpiresAt: info.ExpiresAt,
		})
	}
	return c.Emit(EventUpdated, info.Path, updatedData{
		OldVersion: info.Version - 1, NewVersion: info.Version, UpdatedBy: c.Who.ID, IsRotation: rotation,
	})
}
