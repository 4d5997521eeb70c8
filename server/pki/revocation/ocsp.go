package revocation

import (
	"cmp"
	"context"
	"crypto"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/internal/certstatus"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Times of OCSP. An answer is signed anew at half of its life; a responder's key is used for half of its own.
const (
	answerLife    = time.Hour
	answerRefresh = answerLife / 2
	responderLife = 24 * time.Hour
)

// Answer is an answer of OCSP, as DER. Its times are zero where it is a refusal, which nobody should keep.
type Answer struct {
	DER                    []byte
	ThisUpdate, NextUpdate time.Time
	Etag                   string // without quotes

	revision int64
	state    certstatus.State
}

// answerKey has no place for a nonce: an answer is the same for everybody.
type answerKey struct {
	ca, serial, issuer string
	hash               crypto.Hash
}

// Respond answers a request that came by POST, as DER. Where no answer can be given the refusal is one of OCSP, too. An
// authority that is not there, or not in the tenant ("": any), is the only error: ca_not_found.
func (s *Service) Respond(ctx context.Context, tenant, id string, der []byte) (Answer, error) {
	q, err := certstatus.ParseRequest(der)
	return s.respond(ctx, tenant, id, q, err)
}

// RespondGet is Respond for a request that came by GET: base64 with the alphabet of URLs, without padding.
func (s *Service) RespondGet(ctx context.Context, tenant, id, text string) (Answer, error) {
	q, err := certstatus.DecodeRequest(text)
	return s.respond(ctx, tenant, id, q, err)
}

func (s *Service) respond(ctx context.Context, tenant, id string, q certstatus.Request, bad error) (Answer, error) {
	p, err := s.position(ctx, tenant, id)
	if fault.Is(err, fault.CodeCANotFound) {
		return Answer{}, err
	}
	var a Answer
	if err = cmp.Or(err, bad); err == nil {
		a, err = s.answer(ctx, p, q)
	}
	if r, refused := refusalFor(err); refused {
		return s.refuse(ctx, id, r, err), nil
	}
	s.metrics.answered(a.state.String())
	return a, nil
}

// answer gives what was signed before at this revision, or signs. What was not issued is not remembered: whoever asks
// for made-up serials would fill the memory.
func (s *Service) answer(ctx context.Context, p position, q certstatus.Request) (Answer, error) {
	k := answerKey{ca: p.id, serial: string(q.Serial.Bytes()), issuer: string(q.NameHash) + string(q.KeyHash), hash: q.Hash}
	now := s.guard.Now()
	if a, ok := s.answers.get(k); ok && a.revision == p.revision && a.fresh(now) {
		return a, nil
	}
	by, err := s.signerFor(ctx, p, q)
	if err != nil {
		return Answer{}, err
	}
	status, err := s.status(ctx, p, q.Serial)
	if err != nil {
		return Answer{}, err
	}
	r, err := s.responder(ctx, p, by)
	if err != nil {
		return Answer{}, err
	}
	a := Answer{revision: p.revision, state: status.State, ThisUpdate: seconds(now), NextUpdate: seconds(now).Add(answerLife)}
	if r.Cert.NotAfter.Before(a.NextUpdate) {
		a.NextUpdate = r.Cert.NotAfter
	}
	if a.DER, err = r.Answer(q, status, a.ThisUpdate, a.NextUpdate); err != nil {
		return Answer{}, err
	}
	s.metrics.signed.Inc()
	a.Etag = fmt.Sprintf("ocsp-%s-%d-%d", hex.EncodeToString(r.Cert.SerialNumber.Bytes()), a.ThisUpdate.Unix(), p.revision)
	if status.State != certstatus.Unknown {
		s.answers.put(k, a)
	}
	return a, nil
}

// fresh tells whether an answer may be given again. One from the future was made before the clock was set back.
func (a Answer) fresh(now time.Time) bool {
	return !now.Before(a.ThisUpdate) && now.Before(a.ThisUpdate.Add(answerRefresh)) && now.Before(a.NextUpdate)
}

// signerFor is the signer that a request is about; the name alone does not do. Error: ca_inactive where there is none,
// or its certificate has ended.
func (s *Service) signerFor(ctx context.Context, p position, q certstatus.Request) (Signer, error) {
	all, err := s.signersOf(ctx, p)
	if err != nil {
		return Signer{}, err
	}
	for _, one := range all {
		if q.IsFor(one.Cert) && s.guard.Now().Before(one.Cert.NotAfter) {
			return one, nil
		}
	}
	return Signer{}, fault.Conflict(fault.CodeCAInactive, "authority %s does not answer for this issuer", p.id)
}

// responder is what signs answers for an authority in this process. Its key is never stored; that the authority signed
// its certificate is in the audit trail.
func (s *Service) responder(ctx context.Context, p position, by Signer) (certstatus.Responder, error) {
	k, now := string(by.Cert.Raw), s.guard.Now()
	if r, ok := s.responders.get(k); ok && now.Before(r.Cert.NotAfter) && (now.Before(halfway(r)) || r.Cert.NotAfter.Equal(by.Cert.NotAfter)) {
		return r, nil
	}
	made, err, _ := s.making.Do("responder "+k, func() (any, error) {
		who, access := guard.System("ocsp", p.tenant), guard.Access{Action: ActionResponder, Target: p.id}
		return guard.Do(context.WithoutCancel(ctx), s.guard, who, access, func(c *guard.Call) (certstatus.Responder, error) {
			return s.makeResponder(ctx, c, by)
		})
	})
	if err != nil {
		return certstatus.Responder{}, err
	}
	r, _ := made.(certstatus.Responder)
	s.responders.put(k, r)
	return r, nil
}

func halfway(r certstatus.Responder) time.Time {
	return r.Cert.NotAfter.Add(-r.Cert.NotAfter.Sub(r.Cert.NotBefore) / 2)
}

func (s *Service) makeResponder(ctx context.Context, c *guard.Call, by Signer) (certstatus.Responder, error) {
	serial, err := certs.NewSerial(s.random)
	if err != nil {
		return certstatus.Responder{}, err
	}
	key, err := by.Key(context.WithoutCancel(ctx))
	if err != nil {
		return certstatus.Responder{}, err
	}
	begin, end, ok := certs.Window(c.Now(), responderLife, responderLife, by.Cert.NotBefore, by.Cert.NotAfter)
	if !ok {
		return certstatus.Responder{}, fault.Conflict(fault.CodeCAInactive, "the authority ends too soon for another responder")
	}
	c.Note("serial_number", certs.FormatSerial(serial))
	return certstatus.NewResponder(s.random, by.Cert, key, serial, begin, end)
}
