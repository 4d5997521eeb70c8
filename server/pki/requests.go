package pki

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// Audit actions of certificate requests (contract section 25).
const (
	ActionCSRSubmit  = "pki_csr_submit"
	ActionCSRRead    = "pki_csr_read"
	ActionCSRList    = "pki_csr_list"
	ActionCSRApprove = "pki_csr_approve"
	ActionCSRReject  = "pki_csr_reject"
	ActionCSRSign    = "pki_csr_sign"
)

// asking describes a call about one's own request, or an administrator's about any.
func asking(action, id string) guard.Access {
	a := reading(action, id)
	a.Scope, a.AltScopes = ScopeIssue, []string{ScopeAdmin}
	return a
}

// SubmitRequest hands in a certificate request for somebody else's approval. Scope pki:issue; permission issue on the
// role is not needed, which is what the approval stands for. Its names and key must be such as the role allows. Errors:
// invalid_role, role_not_found, validation_error, invalid_duration.
func (s *Service) SubmitRequest(ctx context.Context, who guard.Caller, w vaultapi.CertificateRequestSubmit) (vaultapi.CertificateRequest, error) {
	access := guard.Access{Action: ActionCSRSubmit, Scope: ScopeIssue}
	return guard.Change(ctx, s.guard, who, access, func(c *guard.Call) (vaultapi.CertificateRequest, error) {
		r := csr{
			ID: newID(csrPrefix), Role: w.Role, Status: statusPending, SubmittedBy: who.ID, Created: c.Now().UnixMicro(),
			Body: vaultapi.CertificateSign{CSRPEM: w.CSRPEM, AltNames: w.AltNames, IPSANs: w.IPSANs, TTL: w.TTL},
		}
		role, err := findRole(c.Tx.QueryRow, who.Tenant, w.Role, "")
		if err != nil {
			return vaultapi.CertificateRequest{}, err
		}
		names, err := r.judge(role)
		if err != nil {
			return vaultapi.CertificateRequest{}, judged(err)
		}
		r.CommonName, r.Names = names.CommonName, listed(names)
		r.note(c)
		return r.wire(c.Now()), insertCSR(c, r)
	})
}

// judge holds a request to a role, as signing will once more.
func (r csr) judge(by role) (certs.Names, error) {
	var o order
	if r.Body.TTL != "" {
		if _, err := lifetime("ttl", r.Body.TTL); err != nil {
			return certs.Names{}, err
		}
	}
	if err := o.read(r.Body); err != nil {
		return certs.Names{}, err
	}
	if rule := certs.CheckPublicKey(o.public, by.spec()); rule != "" {
		return certs.Names{}, invalid("csr_pem", rule)
	}
	return allowed(by, o.wanted)
}

func (r csr) note(c *guard.Call) {
	c.Note("csr_id", r.ID)
	c.Note("role", r.Role)
	c.Note("common_name", r.CommonName)
}

// mine tells whether a caller may see a request: its submitter and administrators may.
func (r csr) mine(who guard.Caller) bool { return r.SubmittedBy == who.ID || who.HasScope(ScopeAdmin) }

// Request returns a certificate request. Scope pki:admin, or pki:issue for one's own. Error: csr_not_found.
func (s *Service) Request(ctx context.Context, who guard.Caller, id string) (vaultapi.CertificateRequest, error) {
	return guard.Do(ctx, s.guard, who, asking(ActionCSRRead, id), func(c *guard.Call) (vaultapi.CertificateRequest, error) {
		r, err := s.request(ctx, who, id)
		if err != nil {
			return vaultapi.CertificateRequest{}, err
		}
		return r.wire(c.Now()), nil
	})
}

// request finds a request outside of a transaction, for those who may see it.
func (s *Service) request(ctx context.Context, who guard.Caller, id string) (csr, error) {
	r, err := findCSR(func(query string, args ...any) *sql.Row { return s.db.QueryRow(ctx, query, args...) }, who.Tenant, id, "")
	if err != nil {
		return r, unread(err)
	}
	if !r.mine(who) {
		return csr{}, noCSR(id)
	}
	return r, nil
}

// ApproveRequest allows a certificate request to be signed as it is, by the role as it is. Scope pki:admin, and not by
// who submitted it. Errors: csr_not_found, csr_decided, forbidden, role_not_found, validation_error.
func (s *Service) ApproveRequest(ctx context.Context, who guard.Caller, id string, w vaultapi.CertificateRequestDecision) (vaultapi.CertificateRequest, error) {
	return s.decide(ctx, who, ActionCSRApprove, id, w.Comment, func(c *guard.Call, r *csr) error {
		if r.SubmittedBy == who.ID {
			return fault.Forbidden(fault.CodeForbidden, "who submits a request cannot approve it: ask another holder of %s", ScopeAdmin)
		}
		role, err := findRole(c.Tx.QueryRow, who.Tenant, r.Role, share(s.db))
		if err != nil {
			return err
		}
		r.Status, r.Settings = statusApproved, role.snapshot()
		_, err = r.judge(role)
		return judged(err)
	})
}

// snapshot is all that a role says.
func (r role) snapshot() string { return r.CAID + " " + r.settings }

// RejectRequest refuses a certificate request for good. Scope pki:admin. Errors: csr_not_found, csr_decided.
func (s *Service) RejectRequest(ctx context.Context, who guard.Caller, id string, w vaultapi.CertificateRequestDecision) (vaultapi.CertificateRequest, error) {
	return s.decide(ctx, who, ActionCSRReject, id, w.Comment, func(_ *guard.Call, r *csr) error {
		r.Status = statusRejected
		return nil
	})
}

// decide changes a request that waits. One that is approved can still be rejected.
func (s *Service) decide(ctx context.Context, who guard.Caller, action, id, comment string, how func(*guard.Call, *csr) error) (vaultapi.CertificateRequest, error) {
	return guard.Change(ctx, s.guard, who, admin(action, id), func(c *guard.Call) (vaultapi.CertificateRequest, error) {
		if rule := checkRemark(comment); rule != "" {
			return vaultapi.CertificateRequest{}, invalid("comment", rule)
		}
		r, err := findCSR(c.Tx.QueryRow, who.Tenant, id, s.db.ForUpdate())
		if err != nil {
			return vaultapi.CertificateRequest{}, err
		}
		r.note(c)
		status := r.status(c.Now())
		if status != statusPending && (status != statusApproved || action == ActionCSRApprove) {
			return vaultapi.CertificateRequest{}, fault.Conflict(fault.CodeCSRDecided, "request %s is %s: submit another", r.ID, status).With("status", status)
		}
		at := c.Now().UnixMicro()
		r.DecidedBy, r.Decided, r.Comment = who.ID, &at, comment
		if err := how(c, &r); err != nil {
			return vaultapi.CertificateRequest{}, err
		}
		return r.wire(c.Now()), updateCSR(c, r)
	})
}

// SignRequest makes the certificate of a request that is approved, once. Scope pki:issue for who submitted it, or
// pki:admin. Role and names are judged as in Sign. Errors: csr_not_found, csr_not_approved, and those of Sign.
func (s *Service) SignRequest(ctx context.Context, who guard.Caller, id string) (vaultapi.IssuedCertificate, error) {
	o := order{access: asking(ActionCSRSign, id)}
	refuse := func(err error) (vaultapi.IssuedCertificate, error) {
		return refused[vaultapi.IssuedCertificate](ctx, s, who, o.access, err)
	}
	if _, err := s.guard.Check(ctx, who, o.access, 0); err != nil {
		return refuse(err)
	}
	r, err := s.request(ctx, who, id)
	if err != nil {
		return refuse(err)
	}
	if err := r.approved(s.guard.Now()); err != nil {
		return refuse(err)
	}
	o.role, o.then = r.Role, func(c *guard.Call, made string) error { return s.requestSigned(c, id, made) }
	return s.take(ctx, who, o, r.Body.TTL, func(o *order) error { return o.read(r.Body) })
}

func (r csr) approved(now time.Time) error {
	if status := r.status(now); status != statusApproved {
		return fault.Conflict(fault.CodeCSRNotApproved, "request %s is %s", r.ID, status).With("status", status)
	}
	return nil
}

// requestSigned ends a request in the transaction of its certificate: still approved, and by what the role still says.
func (s *Service) requestSigned(c *guard.Call, id, made string) error {
	r, err := findCSR(c.Tx.QueryRow, c.Who.Tenant, id, s.db.ForUpdate())
	if err != nil {
		return err
	}
	if err := r.approved(c.Now()); err != nil {
		return err
	}
	role, err := findRole(c.Tx.QueryRow, c.Who.Tenant, r.Role, "")
	if err != nil {
		return err
	}
	if role.snapshot() != r.Settings {
		return fault.Conflict(fault.CodeCSRNotApproved, "role %s was changed after request %s was approved: submit another", r.Role, r.ID).With("status", "role_changed")
	}
	r.note(c)
	r.Status, r.Certificate = statusSigned, made
	return updateCSR(c, r)
}

// RequestQuery selects certificate requests.
type RequestQuery struct {
	Status string // "": all
	Limit  int    // 0: DefaultLimit
	Cursor string
}

func (q RequestQuery) text() string { return "pki csr " + q.Status }

// stored are the stored statuses and the times of submission that a status is.
func (q RequestQuery) stored(now time.Time) (one, other string, from, until int64, err error) {
	dead := now.Add(-csrLife).UnixMicro()
	switch q.Status {
	case "", statusRejected, statusSigned:
		return q.Status, q.Status, 0, endOfTime, nil
	case statusPending, statusApproved:
		return q.Status, q.Status, dead + 1, endOfTime, nil
	case statusExpired:
		return statusPending, statusApproved, 0, dead, nil
	}
	return "", "", 0, 0, fault.Invalid(fault.CodeInvalidRequest, "status must be pending, approved, rejected, signed or expired").With("field", "status")
}

// Requests returns one page of certificate requests, the oldest first: with scope pki:admin all, with pki:issue one's
// own. Errors: invalid_request, invalid_cursor.
func (s *Service) Requests(ctx context.Context, who guard.Caller, q RequestQuery) (vaultapi.CertificateRequestList, error) {
	return guard.Do(ctx, s.guard, who, asking(ActionCSRList, ""), func(c *guard.Call) (vaultapi.CertificateRequestList, error) {
		l := vaultapi.CertificateRequestList{Requests: []vaultapi.CertificateRequest{}}
		limit, err := pageSize(q.Limit)
		if err != nil {
			return l, err
		}
		found, err := s.requestPage(ctx, who, q, c.Now(), limit)
		if err != nil {
			return l, err
		}
		for _, r := range found[:min(len(found), limit)] {
			l.Requests = append(l.Requests, r.wire(c.Now()))
		}
		if l.Data, l.HasMore = l.Requests, len(found) > limit; l.HasMore {
			last := found[limit-1]
			next := s.cursors.Write(who.Tenant, q.text(), place{last.Created, last.ID}.String())
			l.Cursor = &next
		}
		return l, nil
	})
}

// requestPage is what a page holds, and one more where there is more.
func (s *Service) requestPage(ctx context.Context, who guard.Caller, q RequestQuery, now time.Time, limit int) ([]csr, error) {
	one, other, from, until, err := q.stored(now)
	if err != nil {
		return nil, err
	}
	text, err := s.cursors.Read(who.Tenant, q.text(), q.Cursor)
	if err != nil {
		return nil, err
	}
	after, err := readPlace(text, from)
	if err != nil {
		return nil, fault.Internal(err, "a cursor of our own")
	}
	by := who.ID
	if who.HasScope(ScopeAdmin) {
		by = ""
	}
	rows, err := s.db.Query(ctx, csrList, who.Tenant, max(after.at, from), after.id, until, by, one, other, limit+1)
	if err != nil {
		return nil, unread(fmt.Errorf("list certificate requests: %w", err))
	}
	found, err := collect(rows, scanCSR)
	return found, unread(err)
}
