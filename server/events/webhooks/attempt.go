package webhooks

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"github.com/scailabs/scaivault/server/egress"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

const (
	pending   = "pending"
	succeeded = "success"
	failed    = "failed"

	// timeout is how long a receiver may take to answer (contract OC-9).
	timeout = 10 * time.Second
	// spread is how much later than its time a retry may come, as a part of the pause: what failed together does not
	// come back together.
	spread = 0.1

	// maxFailures deliveries that failed one after the other disable a webhook.
	maxFailures = 50

	userAgent = "ScaiVault-Webhook/1.0"

	recordAttempt = `UPDATE deliveries SET status = $4, due_at = $5, attempts = $6, attempted_at = $7, response_code = $8, duration = $9,
problem = $10, body = $11 WHERE tenant = $1 AND id = $2 AND fence = $3`
	release    = `UPDATE deliveries SET due_at = $4, fence = fence + 1 WHERE tenant = $1 AND id = $2 AND fence = $3`
	wentWell   = `UPDATE webhooks SET failures = 0, troubled = 0 WHERE tenant = $1 AND id = $2 AND (failures <> 0 OR troubled <> 0)`
	wentWrong  = `UPDATE webhooks SET troubled = 1 WHERE tenant = $1 AND id = $2 AND troubled = 0`
	wentLost   = `UPDATE webhooks SET troubled = 1, failures = failures + 1 WHERE tenant = $1 AND id = $2`
	tooOften   = `UPDATE webhooks SET enabled = 0, revision = revision + 1 WHERE tenant = $1 AND id = $2 AND enabled = 1 AND failures >= $3`
	recordOver = 5 * time.Second
)

// pauses come before the second and later attempts (contract OC-9).
func pauses() []time.Duration {
	return []time.Duration{30 * time.Second, 2 * time.Minute, 10 * time.Minute, 30 * time.Minute, 2 * time.Hour}
}

// outcome is what came of an attempt.
type outcome struct {
	code    int64 // 0: no answer
	at      time.Time
	took    time.Duration
	problem string // "" of a success; for people, without anything that the receiver sent
}

func (o outcome) answered() *int64 {
	if o.code == 0 {
		return nil
	}
	return &o.code
}

// attempt sends a delivery once.
func (s *Service) attempt(ctx context.Context, w webhook, sign signer, d delivery) outcome {
	bound, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	o := outcome{at: s.now()}
	status, err := s.Sender.Post(bound, w.url, headers(sign, d, o.at), []byte(d.body))
	o.took, o.code = s.now().Sub(o.at), int64(status)
	if err != nil {
		o.code, o.problem = 0, explain(err)
	} else {
		o.problem = judge(status)
	}
	return o
}

// headers are those of contract section 12.2, and two of ours: the delivery's id, and during an overlap the signature
// with the secret before, so that a receiver which does not know the new one yet loses nothing.
func headers(sign signer, d delivery, at time.Time) http.Header {
	h := http.Header{
		"Content-Type":            {"application/json"},
		"User-Agent":              {userAgent},
		"X-Scaivault-Event-Id":    {d.eventID},
		"X-Scaivault-Event-Type":  {d.eventType},
		"X-Scaivault-Delivery-Id": {d.id},
		"X-Scaivault-Timestamp":   {strconv.FormatInt(at.Unix(), 10)},
		"X-Scaivault-Signature":   {signature(sign.current, at, []byte(d.body))},
	}
	if sign.previous.Size() > 0 {
		h.Set("X-ScaiVault-Signature-Previous", signature(sign.previous, at, []byte(d.body)))
	}
	return h
}

func judge(status int) string {
	switch {
	case status >= 200 && status < 300:
		return ""
	case status >= 300 && status < 400:
		return fmt.Sprintf("the receiver answered %d; redirects are not followed: give the URL that it leads to", status)
	}
	return fmt.Sprintf("the receiver answered %d", status)
}

// explain says why there was no answer, in words that tell nothing of what lies behind the server.
func explain(err error) string {
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, egress.ErrRefused):
		return "the receiver's address is not public; an administrator allows such receivers with --webhook-allow-private"
	case errors.Is(err, context.DeadlineExceeded):
		return "the receiver did not answer within 10 s"
	case errors.As(err, &dns):
		return "the receiver's name has no address"
	case errors.As(err, &cert):
		return "the receiver's certificate is not valid for it, or of an authority that the server does not know"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the receiver refuses connections"
	}
	return "the receiver cannot be reached, or does not speak HTTP"
}

// record keeps what came of an attempt, unless its lease was over and another one took the delivery.
func (s *Service) record(ctx context.Context, w webhook, d delivery, o outcome) error {
	bound, cancel := context.WithTimeout(context.WithoutCancel(ctx), recordOver)
	defer cancel()
	if ctx.Err() != nil && o.problem != "" { // the server stops: it was not the receiver's fault
		return s.DB.Update(bound, func(tx *store.Tx) error {
			_, err := tx.Exec(release, w.tenant, d.id, d.fence, tx.Now().UnixMicro())
			return err
		})
	}
	status, due := s.next(d, o)
	err := s.DB.Update(bound, func(tx *store.Tx) error {
		kept, err := s.keep(tx, w, d, o, status, due)
		if err != nil || !kept {
			return err
		}
		return s.weigh(tx, w, status, o)
	})
	if err != nil {
		return fmt.Errorf("record delivery: %w", err)
	}
	s.metrics.attempts.WithLabelValues(result(o)).Inc()
	return nil
}

// next tells the delivery's status after an attempt, and when it is tried again.
func (s *Service) next(d delivery, o outcome) (status string, due *int64) {
	if o.problem == "" {
		return succeeded, nil
	}
	all := pauses()
	if d.attempts >= int64(len(all)) {
		return failed, nil
	}
	pause := all[d.attempts]
	at := o.at.Add(o.took + pause + time.Duration(spread*s.Jitter()*float64(pause))).UnixMicro()
	return pending, &at
}

// keep writes the attempt into its delivery; kept is false if the delivery is not ours any more.
func (s *Service) keep(tx *store.Tx, w webhook, d delivery, o outcome, status string, due *int64) (kept bool, err error) {
	body := ""
	if due != nil {
		body = d.body
	}
	done, err := tx.Exec(recordAttempt, w.tenant, d.id, d.fence, status, due, d.attempts+1, o.at.UnixMicro(), o.answered(),
		o.took.Microseconds(), o.problem, body)
	if err != nil {
		return false, err
	}
	n, err := done.RowsAffected()
	return n > 0, err
}

// weigh counts an attempt for the webhook's status, and disables one that fails all the time.
func (s *Service) weigh(tx *store.Tx, w webhook, status string, o outcome) error {
	query := map[string]string{succeeded: wentWell, pending: wentWrong, failed: wentLost}[status]
	if _, err := tx.Exec(query, w.tenant, w.id); err != nil {
		return err
	}
	if status != failed {
		return nil
	}
	done, err := tx.Exec(tooOften, w.tenant, w.id, maxFailures)
	if err != nil {
		return err
	}
	if n, err := done.RowsAffected(); err != nil || n == 0 {
		return err
	}
	s.Guard.Audit.Stage(tx, guard.Entry{
		Tenant: w.tenant, Time: o.at, Action: ActionDisable, Target: w.id, IdentityType: guard.TypeSystem, IdentityID: "system:webhooks",
		Success: true, Notes: []guard.Note{{Key: "webhook_name", Value: w.name}, {Key: "consecutive_failures", Value: strconv.Itoa(maxFailures)}},
	})
	tx.AfterCommit(func() {
		s.Log.Error("webhook disabled: too many deliveries failed one after the other", "tenant", w.tenant, "webhook", w.id)
	})
	return s.DB.Notify(tx, wakeChannel)
}
