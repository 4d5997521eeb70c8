package pki_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

func TestAuthoritiesPageByPage(t *testing.T) {
	each(t, func(w *world) {
		for _, name := range []string{"c", "a", "b"} {
			w.authority(vaultapi.AuthorityWrite{Name: name, CommonName: name, CAType: "root"})
		}
		var got []string
		for cursor := ""; ; {
			l, err := w.Authorities(w.Context(), boss, 3, cursor)
			w.must(err)
			for _, a := range l.Data {
				got = append(got, a.Name)
			}
			if !l.HasMore {
				break
			}
			cursor = *l.Cursor
			_, err = w.Roles(w.Context(), boss, 3, cursor)
			w.refused("the cursor of another list", err, fault.CodeInvalidCursor, "")
			_, err = w.Authorities(w.Context(), other, 3, cursor)
			w.refused("the cursor of another tenant", err, fault.CodeInvalidCursor, "")
		}
		if strings.Join(got, " ") != "a b c root" {
			w.Errorf("listed %v", got)
		}
		_, err := w.Authorities(w.Context(), boss, 1001, "")
		w.refused("a page too large", err, fault.CodeInvalidRequest, "limit")
	})
}

// Every mistake of a body is named by its field.
func TestAuthorityRefused(t *testing.T) {
	each(t, func(w *world) {
		for names, a := range map[string]vaultapi.AuthorityWrite{
			"name":                     {Name: "ca_x"},
			"common_name":              {CommonName: "x\u202ey"},
			"parent_ca_id":             {ParentCAID: "root"},
			"validity_days":            {ValidityDays: -1},
			"max_path_length":          {MaxPathLength: new(int)},
			"permitted_dns_domains[0]": {PermittedDNSDomains: []string{"*.example.com"}},
			"excluded_dns_domains[0]":  {ExcludedDNSDomains: []string{"example.com."}},
			"permitted_ip_ranges[0]":   {PermittedIPRanges: []string{"10.0.0.1/8"}},
			"excluded_ip_ranges[0]":    {ExcludedIPRanges: []string{"10.0.0.0"}},
		} {
			if a.MaxPathLength != nil {
				*a.MaxPathLength = -1
			}
			a.Name, a.CommonName, a.CAType, a.KeyType = or(a.Name, "x"), or(a.CommonName, "x"), "root", "ec"
			_, err := w.CreateAuthority(w.Context(), admin, a)
			w.refused(names, err, fault.CodeValidation, names)
		}
		_, err := w.CreateAuthority(w.Context(), admin, vaultapi.AuthorityWrite{Name: "root", CommonName: "x", CAType: "root", KeyType: "ec"})
		w.refused("a name twice", err, fault.CodeCAExists, "root")
		for _, parent := range []string{"none", "a\x00b", "'", strings.Repeat("a", 200)} {
			_, err = w.CreateAuthority(w.Context(), admin, vaultapi.AuthorityWrite{Name: "x", CommonName: "x", CAType: "intermediate", ParentCAID: parent})
			w.refused("parent", err, fault.CodeCANotFound, "")
		}
	})
}

// No chain grows without end, and the longest one still verifies.
func TestDepthOfAuthorities(t *testing.T) {
	each(t, func(w *world) {
		parent := w.root
		for i := 1; i < 8; i++ {
			parent = w.below(parent, fmt.Sprint("sub", i)).ID
		}
		_, err := w.CreateAuthority(w.Context(), admin, vaultapi.AuthorityWrite{Name: "deep", CommonName: "deep", CAType: "intermediate", ParentCAID: parent, KeyType: "ec"})
		w.refused("one more", err, fault.CodeValidation, "parent_ca_id")
		w.role(vaultapi.PKIRoleWrite{Name: "deep", CAID: parent, AllowedDomains: []string{"example.com"}})
		made := w.by("deep", "example.com", "")
		if err := verified(w, made, "example.com"); err != nil || len(made.CAChain) != 8 {
			w.Errorf("%v, %d authorities above the certificate", err, len(made.CAChain))
		}
	})
}

// An authority that has ended makes no other one.
func TestNothingBelowAnAuthorityThatEnded(t *testing.T) {
	each(t, func(w *world) {
		root, err := w.Authority(w.Context(), boss, "root")
		w.must(err)
		w.pass(root.ValidUntil.Sub(w.clock()) + time.Second)
		_, err = w.CreateAuthority(w.Context(), admin, vaultapi.AuthorityWrite{Name: "late", CommonName: "late", CAType: "intermediate", ParentCAID: "root", KeyType: "ec"})
		w.refused("below what has ended", err, fault.CodeCAInactive, "root")
		if root, err = w.Authority(w.Context(), boss, "root"); err != nil || root.IsActive {
			w.Errorf("%+v, %v", root, err)
		}
	})
}

// Whoever can write to the database cannot have one authority sign by another's key.
func TestASealedKeyCannotBeMoved(t *testing.T) {
	each(t, func(w *world) {
		w.authority(vaultapi.AuthorityWrite{Name: "other", CommonName: "other", CAType: "root"})
		w.exec(`UPDATE pki_authorities SET
	uid = (SELECT uid FROM pki_authorities WHERE name = 'other'), key_version = (SELECT key_version FROM pki_authorities WHERE name = 'other'),
	wrapped = (SELECT wrapped FROM pki_authorities WHERE name = 'other'), sealed = (SELECT sealed FROM pki_authorities WHERE name = 'other')
	WHERE name = 'root'`)
		_, err := w.Issue(w.Context(), boss, "web", vaultapi.CertificateIssue{CommonName: "a.example.com"})
		w.refused("a moved key", err, fault.CodeInternal, "")
	})
}

// While an authority is revoked another is made below it: it is revoked too, or was never made.
func TestAuthorityMadeWhileItsParentIsRevoked(t *testing.T) {
	each(t, func(w *world) {
		w.below("root", "mid")
		made := make(chan error, 4)
		for i := range cap(made) {
			go func() {
				_, err := w.CreateAuthority(w.Context(), admin, vaultapi.AuthorityWrite{Name: fmt.Sprint("sub", i), CommonName: fmt.Sprint("sub", i), CAType: "intermediate", ParentCAID: "mid", KeyType: "ec"})
				made <- err
			}()
		}
		_, err := w.RevokeAuthority(w.Context(), admin, "root", vaultapi.AuthorityRevoke{})
		w.must(err)
		for range cap(made) {
			if err := <-made; err != nil && !fault.Is(err, fault.CodeCAInactive) {
				w.Error(err)
			}
		}
		l, err := w.Authorities(w.Context(), admin, 0, "")
		w.must(err)
		for _, a := range l.Data {
			if a.IsActive {
				w.Errorf("%s is active below an authority that is revoked", a.Name)
			}
		}
	})
}
