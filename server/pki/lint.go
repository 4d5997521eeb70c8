package pki

import (
	"crypto"
	"crypto/x509"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	zx509 "github.com/zmap/zcrypto/x509"
	"github.com/zmap/zlint/v3"
	"github.com/zmap/zlint/v3/lint"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/server/fault"
)

// linter looks at a certificate before it is signed. What is looked at is signed by a throw-away key of the same kind,
// so that a certificate with a finding never exists.
type linter struct {
	random   io.Reader
	registry func() (lint.Registry, error)

	mu   sync.Mutex
	keys map[certs.KeySpec]crypto.Signer
}

func newLinter(random io.Reader) *linter {
	return &linter{random: random, keys: map[certs.KeySpec]crypto.Signer{}, registry: sync.OnceValues(func() (lint.Registry, error) {
		return lint.GlobalRegistry().Filter(lint.FilterOptions{IncludeSources: lint.SourceList{lint.RFC5280}})
	})}
}

// throwaway is a key of a kind that signs nothing but what is looked at.
func (l *linter) throwaway(spec certs.KeySpec) (crypto.Signer, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if key := l.keys[spec]; key != nil {
		return key, nil
	}
	key, err := spec.Generate(l.random)
	if err != nil {
		return nil, fmt.Errorf("throw-away key: %w", err)
	}
	l.keys[spec] = key
	return key, nil
}

// check signs a draft by a throw-away key and refuses it if there is a finding. For a draft that signs itself, parent is
// the draft.
func (l *linter) check(draft, parent *x509.Certificate, public crypto.PublicKey, spec certs.KeySpec) error {
	key, err := l.throwaway(spec)
	if err != nil {
		return err
	}
	above := *parent
	above.PublicKey = key.Public()
	if draft == parent {
		public = key.Public()
	}
	der, err := x509.CreateCertificate(l.random, draft, &above, public, key)
	if err != nil {
		return fmt.Errorf("draft: %w", err)
	}
	looked, err := zx509.ParseCertificate(der)
	if err != nil {
		return fmt.Errorf("lint: %w", err)
	}
	registry, err := l.registry()
	if err != nil {
		return fmt.Errorf("lints: %w", err)
	}
	if found := findings(zlint.LintCertificateEx(looked, registry)); len(found) > 0 {
		return fault.New(fault.KindUnprocessable, fault.CodeValidation,
			"the certificate would break RFC 5280 (%s): change its names or its life", strings.Join(found, ", ")).With("lints", found)
	}
	return nil
}

func findings(set *zlint.ResultSet) []string {
	var found []string
	for name, result := range set.Results {
		if result.Status >= lint.Error {
			found = append(found, name)
		}
	}
	slices.Sort(found)
	return found
}
