package pki

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/jobs"
	"github.com/scailabs/scaivault/server/store"
)

// EventExpiring announces that a certificate, or that of an authority, ends soon (contract section 12.4).
const EventExpiring = "certificate.expiring"

// ActionExpiryNotice is the audit action of announcing expiries.
const ActionExpiryNotice = "pki_expiry_notice"

const (
	jobExpiry   = "pki_expiry"
	component   = "pki"
	sweepEvery  = time.Minute
	sweepLease  = 10 * time.Minute
	noticeBatch = 200
	// settle is how long a certificate may take from its making to its commit: what ends at a threshold is looked for so
	// much later, so that a slow commit is not behind the mark already.
	settle = time.Minute
	// stale is how far the mark may stay behind before it is moved without anything to announce.
	stale = time.Hour
)

// expiries are things that expire. There is no job for each of them: a mark of each tenant and threshold goes along the
// index of their ends, so that issuing costs nothing more, and each is announced once. Of thresholds that passed while
// nobody looked only the last is announced; what lived no longer than a threshold from the beginning never is.
type expiries struct {
	name       string // of its marks
	thresholds []int  // days, longest first
	query      string // between two ends, in their order
}

const (
	expiringCertificates = `SELECT c.id, c.id, c.ca_id, c.role, c.common_name, c.serial, c.not_after FROM pki_certificates c
	JOIN pki_authorities a ON a.tenant = c.tenant AND a.id = c.ca_id
	WHERE c.tenant = $1 AND (c.not_after, c.id) > ($2, $3) AND c.not_after <= $4 AND c.not_after - c.created_at > $5
	AND c.revoked_at IS NULL AND a.revoked_at IS NULL ORDER BY c.not_after, c.id LIMIT $6`
	expiringAuthorities = `SELECT id, '', id, '', name, serial, not_after FROM pki_authorities
	WHERE tenant = $1 AND (not_after, id) > ($2, $3) AND not_after <= $4 AND not_after - created_at > $5
	AND revoked_at IS NULL ORDER BY not_after, id LIMIT $6`
	tenantsAll = `SELECT id FROM tenants ORDER BY id`
	markFind   = `SELECT at, id FROM pki_notices WHERE tenant = $1 AND threshold = $2 UNION ALL SELECT 0, '' LIMIT 1`
	// markMove changes nothing where another replica has moved the mark meanwhile.
	markMove = `INSERT INTO pki_notices (tenant, threshold, at, id) VALUES ($1, $2, $3, $4)
	ON CONFLICT (tenant, threshold) DO UPDATE SET at = excluded.at, id = excluded.id WHERE pki_notices.at = $5 AND pki_notices.id = $6`
)

const afterAllIDs = "~"

func allExpiries() []expiries {
	return []expiries{
		{name: "", thresholds: []int{30, 7, 1}, query: expiringCertificates},
		{name: "ca ", thresholds: []int{90, 30, 7, 1}, query: expiringAuthorities},
	}
}

// Jobs are the kinds of background work of this package.
func (s *Service) Jobs() []jobs.Kind {
	return []jobs.Kind{{Name: jobExpiry, Lease: sweepLease, Workers: 1, Every: sweepEvery, Run: s.announceAll}}
}

// announceAll announces all that is due.
func (s *Service) announceAll(ctx context.Context, _ jobs.Job) error {
	rows, err := s.db.Query(ctx, tenantsAll)
	if err != nil {
		return fmt.Errorf("list tenants: %w", err)
	}
	tenants, err := collect(rows, func(row scanner) (id string, err error) { return id, row.Scan(&id) })
	if err != nil {
		return fmt.Errorf("list tenants: %w", err)
	}
	for _, tenant := range tenants {
		for _, e := range allExpiries() {
			for i := range e.thresholds {
				if err := s.sweep(ctx, tenant, e, i); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// sweep announces what has come to a threshold, batch by batch.
func (s *Service) sweep(ctx context.Context, tenant string, e expiries, i int) error {
	for {
		n, err := s.notices(ctx, tenant, e, i)
		if err != nil {
			return err
		}
		if len(n.found) == 0 {
			return s.follow(ctx, n)
		}
		if err := s.tell(ctx, n); err != nil {
			return err
		}
		if len(n.found) < noticeBatch {
			return nil
		}
	}
}

// expiring is one thing that ends soon.
type expiring struct {
	ID, Certificate, CA, Role, Name, Serial string
	NotAfter                                int64
}

// notices are what is to be announced at a threshold, and how that moves its mark.
type notices struct {
	tenant, mark string
	days         int
	from, to     place
	found        []expiring
}

func (s *Service) notices(ctx context.Context, tenant string, e expiries, i int) (notices, error) {
	days := e.thresholds[i]
	n := notices{tenant: tenant, mark: e.name + strconv.Itoa(days) + "d", days: days}
	if err := s.db.QueryRow(ctx, markFind, tenant, n.mark).Scan(&n.from.at, &n.from.id); err != nil {
		return n, fmt.Errorf("mark of expiries: %w", err)
	}
	looked := s.guard.Now().Add(-settle)
	length := time.Duration(days) * day
	n.to = place{looked.Add(length).UnixMicro(), afterAllIDs}
	begin := n.from
	if next := looked.Add(e.next(i)).UnixMicro(); next > begin.at { // what is behind it is the next threshold's
		begin = place{next, afterAllIDs}
	}
	rows, err := s.db.Query(ctx, e.query, tenant, begin.at, begin.id, n.to.at, length.Microseconds(), noticeBatch)
	if err != nil {
		return n, fmt.Errorf("list expiries: %w", err)
	}
	n.found, err = collect(rows, func(row scanner) (x expiring, err error) {
		return x, row.Scan(&x.ID, &x.Certificate, &x.CA, &x.Role, &x.Name, &x.Serial, &x.NotAfter)
	})
	if err != nil {
		return n, fmt.Errorf("list expiries: %w", err)
	}
	if len(n.found) == noticeBatch {
		last := n.found[noticeBatch-1]
		n.to = place{last.NotAfter, last.ID}
	}
	return n, nil
}

// next is the next shorter threshold; behind the last one lies what has expired.
func (e expiries) next(i int) time.Duration {
	if i+1 < len(e.thresholds) {
		return time.Duration(e.thresholds[i+1]) * day
	}
	return settle
}

// move moves the mark, unless somebody else has; then nothing of the transaction may stay.
func (n notices) move(tx *store.Tx) error {
	done, err := tx.Exec(markMove, n.tenant, n.mark, n.to.at, n.to.id, n.from.at, n.from.id)
	if err != nil {
		return fmt.Errorf("mark of expiries: %w", err)
	}
	if moved, err := done.RowsAffected(); err != nil || moved == 0 {
		return jobs.ErrLost
	}
	return nil
}

// follow moves a mark that has stayed behind, so that the next look need not pass over what was never to be announced.
func (s *Service) follow(ctx context.Context, n notices) error {
	if n.to.at-n.from.at < stale.Microseconds() {
		return nil
	}
	return s.db.Update(ctx, n.move)
}

type expiringData struct {
	CertificateID string        `json:"certificate_id,omitempty"` // absent of an authority
	CAID          string        `json:"ca_id"`
	Role          string        `json:"role,omitempty"`
	CommonName    string        `json:"common_name"` // of an authority its name
	SerialNumber  string        `json:"serial_number"`
	ExpiresAt     vaultapi.Time `json:"expires_at"`
	DaysRemaining int64         `json:"days_remaining"` // begun ones count
	Threshold     string        `json:"threshold"`
}

// tell announces; events, their entry and the mark are one transaction, so that each is announced once or not yet.
func (s *Service) tell(ctx context.Context, n notices) error {
	threshold := strconv.Itoa(n.days) + "d"
	a := guard.Access{Action: ActionExpiryNotice}
	_, err := guard.Change(ctx, s.guard, guard.System(component, n.tenant), a, func(c *guard.Call) (struct{}, error) {
		if err := n.move(c.Tx); err != nil {
			return struct{}{}, err
		}
		c.Note("threshold", n.mark)
		c.Note("count", len(n.found))
		for _, x := range n.found {
			left := time.UnixMicro(x.NotAfter).Sub(c.Now())
			if err := c.Emit(EventExpiring, "", expiringData{
				CertificateID: x.Certificate, CAID: x.CA, Role: x.Role, CommonName: x.Name, SerialNumber: x.Serial,
				ExpiresAt: vaultapi.AtMicros(x.NotAfter), DaysRemaining: int64((left + day - 1) / day), Threshold: threshold,
			}); err != nil {
				return struct{}{}, err
			}
		}
		return struct{}{}, nil
	})
	if err == nil {
		s.announced.WithLabelValues(n.mark).Add(float64(len(n.found)))
	}
	return err
}
