package pki_test

import (
	"strings"
	"testing"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/guard/guardtest"
	"github.com/scailabs/scaivault/server/pki"
)

// calls is every call about a certificate.
func (w *world) calls(who guard.Caller, id, serial string) map[string]error {
	w.Helper()
	ctx := w.Context()
	all := map[string]error{}
	_, all["certificate"] = w.Certificate(ctx, who, id)
	_, all["pem"] = w.CertificatePEM(ctx, who, id)
	_, all["renew"] = w.Renew(ctx, who, id)
	_, all["revoke"] = w.Revoke(ctx, who, vaultapi.CertificateRevoke{SerialNumber: serial})
	_, all["revoke by id"] = w.Revoke(ctx, who, vaultapi.CertificateRevoke{CertificateID: id})
	return all
}

// To whom a certificate may not be shown, it looks like one that is not there, whatever he tries; and a role that he
// may not issue by looks like one that cannot be.
func TestNothingIsLearned(t *testing.T) {
	each(t, func(w *world) {
		made := w.by("web", "a.example.com", "")
		none := w.calls(poor, "cert_none", "01")
		for call, err := range w.calls(poor, made.ID, made.SerialNumber) {
			if fault.Code(err) != fault.Code(none[call]) || err == nil {
				w.Errorf("%s: %v, of one that is not there %v", call, err, none[call])
			}
		}
		csr := request(w, named("a.example.com"), key(w))
		for _, role := range []string{"web", "none", "", "a/b", "web\x00", strings.Repeat("a", 5000)} {
			_, err := w.Sign(w.Context(), poor, role, vaultapi.CertificateSign{CSRPEM: csr})
			w.refused("sign by "+role, err, fault.CodeAccessDenied, "")
		}
	})
}

// The boss of another tenant has no use of ids, names and serial numbers that he has learned.
func TestOfAnotherTenant(t *testing.T) {
	each(t, func(w *world) {
		made, ctx := w.by("web", "a.example.com", ""), w.Context()
		for call, err := range w.calls(other, made.ID, made.SerialNumber) {
			w.refused(call, err, fault.CodeCertificateNotFound, "")
		}
		for _, ref := range []string{w.root, "root"} {
			refused := map[string]error{}
			_, refused["read"] = w.Authority(ctx, other, ref)
			_, refused["certificate"] = w.AuthorityCertificate(ctx, other, ref)
			_, refused["revoke"] = w.RevokeAuthority(ctx, other, ref, vaultapi.AuthorityRevoke{})
			_, refused["below"] = w.CreateAuthority(ctx, other, vaultapi.AuthorityWrite{Name: "x", CommonName: "x", CAType: "intermediate", ParentCAID: ref})
			_, refused["role"] = w.CreateRole(ctx, other, vaultapi.PKIRoleWrite{Name: "x", CAID: ref})
			_, refused["list"] = w.Certificates(ctx, other, pki.CertificateQuery{CA: ref})
			for call, err := range refused {
				w.refused(call+" "+ref, err, fault.CodeCANotFound, ref)
			}
		}
		refused := map[string]error{"delete": w.DeleteRole(ctx, other, "web")}
		_, refused["issue"] = w.Issue(ctx, other, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		_, refused["patch"] = w.PatchRole(ctx, other, "web", vaultapi.PKIRolePatch{AllowedDomains: &[]string{"evil.com"}})
		_, refused["read"] = w.Role(ctx, other, "web")
		for call, err := range refused {
			w.refused(call, err, fault.CodeRoleNotFound, "web")
		}
		if got, err := w.Certificate(ctx, boss, made.ID); err != nil || got.Status != "active" {
			w.Errorf("it is %+v, %v", got, err)
		}
	})
}

// The scope to issue administers nothing, and the scope to administer issues nothing.
func TestScopesAreApart(t *testing.T) {
	each(t, func(w *world) {
		made, ctx := w.by("web", "a.example.com", ""), w.Context()
		issues, administers := boss, boss
		issues.Scopes, administers.Scopes = []string{pki.ScopeIssue}, []string{pki.ScopeAdmin}
		refused := map[string]error{"delete role": w.DeleteRole(ctx, issues, "web")}
		_, refused["create authority"] = w.CreateAuthority(ctx, issues, vaultapi.AuthorityWrite{Name: "x", CommonName: "x", CAType: "root"})
		_, refused["revoke authority"] = w.RevokeAuthority(ctx, issues, "root", vaultapi.AuthorityRevoke{})
		_, refused["create role"] = w.CreateRole(ctx, issues, vaultapi.PKIRoleWrite{Name: "x", CAID: "root"})
		_, refused["patch role"] = w.PatchRole(ctx, issues, "web", vaultapi.PKIRolePatch{})
		_, refused["revoke"] = w.Revoke(ctx, issues, vaultapi.CertificateRevoke{CertificateID: made.ID})
		_, refused["issue"] = w.Issue(ctx, administers, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		_, refused["sign"] = w.Sign(ctx, administers, "web", vaultapi.CertificateSign{CSRPEM: request(w, named("a.example.com"), key(w))})
		_, refused["renew"] = w.Renew(ctx, administers, made.ID)
		for call, err := range refused {
			w.refused(call, err, fault.CodeInsufficientScope, "")
		}
	})
}

// A permission that was taken away counts at once, also for what was to be seen by it.
func TestPermissionTakenAway(t *testing.T) {
	each(t, func(w *world) {
		made := w.by("web", "a.example.com", "")
		_, err := w.Certificate(w.Context(), issuer, made.ID)
		w.must(err)
		w.sets.Grant(w, guardtest.Rule(issuer, "pki:another", policy.Issue))
		for call, err := range w.calls(issuer, made.ID, made.SerialNumber) {
			if !strings.HasPrefix(call, "revoke") {
				w.refused(call, err, fault.CodeCertificateNotFound, "")
			}
		}
		_, err = w.Issue(w.Context(), issuer, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		w.refused("issue", err, fault.CodeAccessDenied, "web")
	})
}

// What cannot be a name or an id is answered as such, and asked of no database.
func TestUnusableReferences(t *testing.T) {
	each(t, func(w *world) {
		super := boss
		super.Roles = []string{guard.RoleSuperAdmin} // whom no policy judges
		for role, code := range map[string]string{"none": fault.CodeRoleNotFound, "A": fault.CodeInvalidRole, "a/b": fault.CodeInvalidRole, "a\x00": fault.CodeInvalidRole, "": fault.CodeInvalidRole} {
			_, err := w.Issue(w.Context(), super, role, vaultapi.CertificateIssue{CommonName: "a.example.com"})
			w.refused("issue by "+role, err, code, "")
			_, err = w.Role(w.Context(), super, role)
			w.refused("read "+role, err, code, "")
		}
		for _, id := range []string{"cert_\x00", "\xff", "'; DROP TABLE pki_certificates", strings.Repeat("a", 70_000)} {
			for call, err := range w.calls(super, id, "01") {
				w.refused(call, err, fault.CodeCertificateNotFound, "")
			}
			_, err := w.Authority(w.Context(), super, id)
			w.refused("authority", err, fault.CodeCANotFound, "")
		}
		for _, owner := range []string{"k8s:\x00", "k8s:\xff", strings.Repeat("k8s:", 500)} {
			_, err := w.Certificates(w.Context(), super, pki.CertificateQuery{Owner: owner})
			w.refused("owner", err, fault.CodeInvalidRequest, "owner")
		}
	})
}
