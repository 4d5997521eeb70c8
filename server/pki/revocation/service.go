package revocation

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"encoding/hex"
	"io"
	"log/slog"
	"strings"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/scailabs/scaivault/internal/certstatus"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// ScopeAdmin is the scope of Regenerate (contract section 8.1).
const ScopeAdmin = "pki:admin"

// Audit actions (contract sections 11 and 25).
const (
	ActionGenerate  = "pki_crl_generate"
	ActionResponder = "pki_ocsp_responder" // an authority signed the certificate of a responder
)

// Signer is a certificate of an authority and the key that belongs to it.
type Signer struct {
	Cert *x509.Certificate
	Key  func(context.Context) (crypto.Signer, error) // opens the key
}

// Authorities finds what signs for an authority. Error: ca_not_found.
type Authorities interface {
	// Signers are the certificates of an authority that may still be in use, the one that issues now first.
	Signers(ctx context.Context, tenant, id string) ([]Signer, error)
}

// Deps is what a Service stands on. DB, Guard and Authorities are required.
type Deps struct {
	DB          *store.DB
	Guard       *guard.Guard
	Authorities Authorities
	Random      io.Reader    // nil: crypto/rand
	Log         *slog.Logger // nil discards
}

// Service answers. Its methods without a caller are for everybody.
type Service struct {
	db          *store.DB
	guard       *guard.Guard
	authorities Authorities
	random      io.Reader
	log         *slog.Logger
	metrics     *metrics
	making      singleflight.Group

	signers    *kept[string, known]
	lists      *kept[listKey, List]
	responders *kept[string, certstatus.Responder]
	answers    *kept[answerKey, Answer]
}

// How much is kept in memory, in entries. An answer of OCSP has about 1 KiB; a list 40 bytes for each revoked
// certificate, and lists are kept by few.
const (
	keptAuthorities = 1024
	keptLists       = 64
	keptAnswers     = 16 << 10
)

// New makes the service.
func New(d Deps) *Service {
	s := &Service{
		db: d.DB, guard: d.Guard, authorities: d.Authorities, random: d.Random, log: d.Log, metrics: newMetrics(),
		signers: keep[string, known](keptAuthorities), lists: keep[listKey, List](keptLists),
		responders: keep[string, certstatus.Responder](keptAuthorities), answers: keep[answerKey, Answer](keptAnswers),
	}
	if s.random == nil {
		s.random = rand.Reader
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	return s
}

// known are an authority's signers as of a revision.
type known struct {
	revision int64
	signers  []Signer
}

// signersOf are the signers of an authority, from memory while its revision is the same.
func (s *Service) signersOf(ctx context.Context, p position) ([]Signer, error) {
	if k, ok := s.signers.get(p.id); ok && k.revision == p.revision {
		return k.signers, nil
	}
	found, err := s.authorities.Signers(ctx, p.tenant, p.id)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fault.Conflict(fault.CodeCAInactive, "authority %s has no certificate yet", p.id).With("ca_id", p.id)
	}
	s.signers.put(p.id, known{p.revision, found})
	return found, nil
}

// chosen is the signer whose certificate has a key id, in hexadecimal; "": the one that issues now.
func (s *Service) chosen(ctx context.Context, p position, key string) (Signer, error) {
	all, err := s.signersOf(ctx, p)
	if err != nil {
		return Signer{}, err
	}
	if key == "" {
		return all[0], nil
	}
	for _, one := range all {
		if strings.EqualFold(hex.EncodeToString(one.Cert.SubjectKeyId), key) {
			return one, nil
		}
	}
	return Signer{}, fault.NotFound(fault.CodeCANotFound, "authority %s has no such key: leave out the parameter key for the one that issues now", p.id)
}

// Certificate is the DER of an authority's own certificate, for those who build chains (RFC 5280, 4.2.2.1). key chooses
// one by its key id, in hexadecimal; "": the one that issues now. tenant "" is any. Error: ca_not_found.
func (s *Service) Certificate(ctx context.Context, tenant, id, key string) ([]byte, error) {
	p, err := s.position(ctx, tenant, id)
	if err != nil {
		return nil, err
	}
	signer, err := s.chosen(ctx, p, key)
	if err != nil {
		return nil, err
	}
	return signer.Cert.Raw, nil
}

// seconds drops what the times of lists and answers cannot hold.
func seconds(t time.Time) time.Time { return t.UTC().Truncate(time.Second) }
