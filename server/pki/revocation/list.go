package revocation

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/internal/certstatus"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// Times of a list. It is made anew at half of its life, whether or not anything was revoked.
const (
	listLife    = 24 * time.Hour
	listRefresh = listLife / 2
)

// List is a signed revocation list.
type List struct {
	DER, PEM               []byte
	Number                 int64
	Revoked                int // entries
	ThisUpdate, NextUpdate time.Time
	Etag                   string // without quotes
}

type listKey struct{ ca, key string }

// List gives an authority's current list. key chooses the signer by its key id, in hexadecimal; "": the one that issues
// now. tenant "" is any. Errors: ca_not_found, ca_inactive (no certificate yet).
func (s *Service) List(ctx context.Context, tenant, id, key string) (List, error) {
	p, err := s.position(ctx, tenant, id)
	if err != nil {
		return List{}, err
	}
	return s.current(ctx, p, key)
}

// Regenerate makes an authority's list anew, with the next number. ref is its id or name. Scope pki:admin. Errors:
// ca_not_found, ca_inactive.
func (s *Service) Regenerate(ctx context.Context, who guard.Caller, ref string) (vaultapi.RevocationList, error) {
	access := guard.Access{Action: ActionGenerate, Scope: ScopeAdmin}
	if refPattern.MatchString(ref) {
		access.Target = ref
	}
	p, err := guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (position, error) {
		if access.Target == "" {
			return position{}, notFound(ref)
		}
		p, err := scanPosition(c.Tx.QueryRow(positionByRef, ref, who.Tenant), ref)
		if err != nil {
			return p, err
		}
		c.Note("ca_id", p.id)
		if p.list, err = s.advance(c.Tx, p, c.Now(), true); err == nil {
			c.Note("crl_number", p.list.number)
		}
		return p, err
	})
	if err != nil {
		return vaultapi.RevocationList{}, err
	}
	l, err := s.current(ctx, p, "")
	if err != nil {
		return vaultapi.RevocationList{}, err
	}
	return vaultapi.RevocationList{
		CAID: p.id, CRLNumber: l.Number, CRLPEM: string(l.PEM), RevokedCertificates: l.Revoked,
		ThisUpdate: vaultapi.At(l.ThisUpdate), NextUpdate: vaultapi.At(l.NextUpdate),
	}, nil
}

// current is the list of a position: from memory, or made. Where the list is behind the authority it gets a new number
// first.
func (s *Service) current(ctx context.Context, p position, key string) (List, error) {
	if !p.list.covers(p.revision, s.guard.Now()) {
		var err error
		if p.list, err = s.renumber(ctx, p); err != nil {
			return List{}, err
		}
	}
	signer, err := s.chosen(ctx, p, key)
	if err != nil {
		return List{}, err
	}
	k := listKey{p.id, hex.EncodeToString(signer.Cert.SubjectKeyId)}
	if l, ok := s.lists.get(k); ok && l.Number == p.list.number {
		return l, nil
	}
	made, err, _ := s.making.Do(fmt.Sprint("list ", k, p.list.number), func() (any, error) {
		return s.makeList(context.WithoutCancel(ctx), p, signer, k)
	})
	if err != nil {
		return List{}, err
	}
	l, _ := made.(List)
	return l, nil
}

// covers tells whether a list is the one to be given at a revision and a time.
func (i issue) covers(revision int64, now time.Time) bool {
	return i.number > 0 && i.revision >= revision && now.Before(time.UnixMicro(i.thisUpdate).Add(listRefresh))
}

// renumber gives the list the next number, once for all who ask for it at this moment.
func (s *Service) renumber(ctx context.Context, p position) (issue, error) {
	got, err, _ := s.making.Do("number "+p.id+" "+strconv.FormatInt(p.revision, 10), func() (any, error) {
		var i issue
		err := s.db.Update(context.WithoutCancel(ctx), func(tx *store.Tx) (err error) {
			i, err = s.advance(tx, p, s.guard.Now(), false)
			return err
		})
		return i, err
	})
	if err != nil {
		return issue{}, unread(err)
	}
	i, _ := got.(issue)
	return i, nil
}

// advance takes the next number of an authority's list in a transaction, unless another replica just did; always takes
// it all the same.
func (s *Service) advance(tx *store.Tx, p position, now time.Time, always bool) (i issue, err error) {
	if _, err := tx.Exec(listInsert, p.tenant, p.id); err != nil {
		return i, fmt.Errorf("list of %s: %w", p.id, err)
	}
	if err := tx.QueryRow(listHold+s.db.ForUpdate(), p.id).Scan(&i.number, &i.revision, &i.thisUpdate); err != nil {
		return i, fmt.Errorf("list of %s: %w", p.id, err)
	}
	var revision int64
	if err := tx.QueryRow(revisionOf, p.id).Scan(&revision); err != nil {
		return i, fmt.Errorf("list of %s: %w", p.id, err)
	}
	if !always && i.covers(revision, now) {
		return i, nil
	}
	i = issue{number: i.number + 1, revision: revision, thisUpdate: seconds(now).UnixMicro()}
	if _, err := tx.Exec(listUpdate, p.id, i.number, i.revision, i.thisUpdate); err != nil {
		return i, fmt.Errorf("list of %s: %w", p.id, err)
	}
	return i, nil
}

// makeList signs the list of a number. Its entries are read after its revision was: it may tell of more than that, never
// of less.
func (s *Service) makeList(ctx context.Context, p position, by Signer, k listKey) (List, error) {
	start := s.guard.Now()
	l := List{Number: p.list.number, ThisUpdate: time.UnixMicro(p.list.thisUpdate).UTC()}
	l.NextUpdate = l.ThisUpdate.Add(listLife)
	entries, err := s.revoked(ctx, p, l.ThisUpdate.Add(-listLife))
	if err != nil {
		return l, err
	}
	key, err := by.Key(ctx)
	if err != nil {
		return l, err
	}
	l.DER, err = certstatus.List{Issuer: by.Cert, Number: l.Number, ThisUpdate: l.ThisUpdate, NextUpdate: l.NextUpdate, Revoked: entries}.Sign(s.random, key)
	if err != nil {
		return l, fmt.Errorf("authority %s: %w", p.id, err)
	}
	l.PEM, l.Revoked, l.Etag = certstatus.EncodeList(l.DER), len(entries), fmt.Sprintf("crl-%s-%d", k.key, l.Number)
	s.lists.put(k, l)
	s.metrics.made(l.Revoked, s.guard.Now().Sub(start))
	return l, nil
}
