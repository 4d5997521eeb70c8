package secrets

import (
	"time"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/seal"
)

// Kept versions of a secret (contract OC-11).
const (
	defaultMaxVersions = 10
	mostMaxVersions    = 1000
)

const defaultType = "kv"

// head is the row of a secret without its versions. Times are microseconds; nil: none.
type head struct {
	path        string
	secretType  string
	version     int64
	maxVersions int64
	metadata    string
	created     int64
	updated     int64
	expires     *int64
	deleted     *int64
	purge       *int64
	rotation    *string
	recipe      *string // the secret policy that it was generated from

	notifyBefore string // thresholds, longest first; "": only the expiry itself is announced
	notice       *int64 // when the expiry is announced next; nil: it does not expire, or all was said
}

// gone tells whether nothing can bring the secret back, so that its path is free.
func (h *head) gone(now time.Time) bool {
	return h == nil || h.deleted != nil && h.purge != nil && *h.purge <= now.UnixMicro()
}

// draft is a checked write: its value is sealed, its version is not known yet.
type draft struct {
	uid         string
	key         seal.DataKey
	sealed      []byte
	secretType  string  // "": as it is
	metadata    *string // nil: as it is
	maxVersions int64   // 0: as it is
	expiresIn   time.Duration
	cas         *int64
	notify      *string // thresholds; nil: as they are
	rotation    string  // policy to attach to, by id or name; "": none
}

// newDraft checks all of a write but its data.
func newDraft(in vaultapi.WriteRequest) (draft, error) {
	d := draft{secretType: in.SecretType, maxVersions: in.Options.MaxVersions, cas: in.Options.CASVersion, rotation: in.Options.RotationPolicyID}
	if err := checkType(in.SecretType); err != nil {
		return draft{}, err
	}
	if d.maxVersions < 0 || d.maxVersions > mostMaxVersions {
		return draft{}, invalid("options.max_versions", "max_versions must be 1 to %d", mostMaxVersions)
	}
	if d.cas != nil && *d.cas < 0 {
		return draft{}, invalid("options.cas_version", "cas_version must be a version, or 0 for a path without a secret")
	}
	if in.Metadata != nil {
		m, err := encodeMetadata(in.Metadata)
		if err != nil {
			return draft{}, err
		}
		d.metadata = &m
	}
	if in.Options.ExpiresIn != "" {
		life, err := schedule.ParseDuration(in.Options.ExpiresIn)
		if err != nil {
			return draft{}, invalidDuration("options.expires_in")
		}
		d.expiresIn = life
	}
	if in.Options.NotifyBefore != nil {
		thresholds, err := encodeNotice(*in.Options.NotifyBefore)
		if err != nil {
			return draft{}, err
		}
		d.notify = &thresholds
	}
	return d, nil
}

func invalidDuration(field string) error {
	return fault.Invalid(fault.CodeInvalidDuration, "%s is not a duration such as 15m, 24h or 30d", field).
		With("field", field)
}

func checkType(t string) error {
	switch t {
	case "", "kv", "json", "certificate", "ssh_key", "api_key":
		return nil
	}
	return fault.Invalid(fault.CodeInvalidSecretType, "secret_type %.32q is not one of kv, json, certificate, ssh_key, api_key", t).
		With("field", "secret_type")
}

// next decides what a write makes of a secret; old is nil where there is none (contract section 3.4, OC-5).
// A write without expires_in makes a version that does not expire.
func next(path string, old *head, d draft, now time.Time) (head, error) {
	if old.gone(now) {
		old = &head{secretType: defaultType, maxVersions: defaultMaxVersions, metadata: noMetadata, notifyBefore: defaultNotice, created: now.UnixMicro()}
	}
	if old.deleted != nil {
		return head{}, stillDeleted(path)
	}
	if d.cas != nil && *d.cas != old.version {
		return head{}, conflict(path, old.version)
	}
	h := *old
	h.path, h.version, h.updated, h.expires = path, old.version+1, now.UnixMicro(), nil
	if d.secretType != "" {
		h.secretType = d.secretType
	}
	if d.metadata != nil {
		h.metadata = *d.metadata
	}
	if d.maxVersions != 0 {
		h.maxVersions = d.maxVersions
	}
	if d.expiresIn != 0 {
		at := now.Add(d.expiresIn).UnixMicro()
		h.expires = &at
	}
	if d.notify != nil {
		h.notifyBefore = *d.notify
	}
	return h, h.plan(now)
}

// info is the secret as it is answered, without what other tables know of it.
func (h *head) info(uid string) (vaultapi.SecretInfo, error) {
	m, err := decodeMetadata(h.metadata)
	if err != nil {
		return vaultapi.SecretInfo{}, fault.Internal(err, "secret %s", h.path)
	}
	info := vaultapi.SecretInfo{
		Path: h.path, SecretType: h.secretType, Version: h.version, Etag: etag(uid),
		Metadata: m, Tags: tagsOf(m), MaxVersions: h.maxVersions,
		CreatedAt: vaultapi.AtMicros(h.created), UpdatedAt: vaultapi.AtMicros(h.updated), ExpiresAt: vaultapi.MaybeAt(h.expires),
		RotationPolicyID: h.rotation, RotationStatus: "none", NotifyBefore: vaultapi.Thresholds(h.notifyBefore),
		SecretPolicyID: h.recipe,
	}
	if h.rotation != nil {
		info.RotationStatus = "scheduled"
	}
	return info, nil
}
