package certs

import (
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"strings"
)

// CheckConstraints holds a certificate to the name constraints of every authority above it, excluded ones first. It
// stands beside the check in crypto/x509, which has missed excluded names before (docs/security/mistakes.md, item 56),
// and shares no code with it. It returns the first name that an authority does not allow, or "".
func CheckConstraints(leaf *x509.Certificate, above []*x509.Certificate) string {
	for _, ca := range above {
		for _, host := range leaf.DNSNames {
			if !within(strings.TrimPrefix(strings.ToLower(host), "*."), strings.HasPrefix(host, "*."), ca.PermittedDNSDomains, ca.ExcludedDNSDomains) {
				return host
			}
		}
		for _, mail := range leaf.EmailAddresses {
			if !mailWithin(mail, ca) {
				return mail
			}
		}
		for _, u := range leaf.URIs {
			if !uriWithin(u, ca) {
				return u.String()
			}
		}
		for _, ip := range leaf.IPAddresses {
			if !ipWithin(ip, ca) {
				return ip.String()
			}
		}
	}
	return ""
}

// within judges a host. Of a wildcard each name that it stands for counts: it must lie in a permitted domain, and no
// excluded one may lie below it.
func within(host string, wildcard bool, permitted, excluded []string) bool {
	for _, d := range excluded {
		d = strings.ToLower(strings.TrimPrefix(d, "."))
		if below(host, d) || wildcard && below(d, host) {
			return false
		}
	}
	for _, d := range permitted {
		if below(host, strings.ToLower(strings.TrimPrefix(d, "."))) {
			return true
		}
	}
	return len(permitted) == 0
}

// below tells whether host is domain or lies below it; every name lies below "".
func below(host, domain string) bool {
	return domain == "" || host == domain || strings.HasSuffix(host, "."+domain)
}

func mailWithin(mail string, ca *x509.Certificate) bool {
	_, host, _ := strings.Cut(mail, "@")
	matches := func(list []string) bool {
		for _, c := range list {
			switch {
			case strings.Contains(c, "@"):
				if strings.EqualFold(c, mail) {
					return true
				}
			case hostMatches(host, c):
				return true
			}
		}
		return false
	}
	return !matches(ca.ExcludedEmailAddresses) && (len(ca.PermittedEmailAddresses) == 0 || matches(ca.PermittedEmailAddresses))
}

func uriWithin(u *url.URL, ca *x509.Certificate) bool {
	matches := func(list []string) bool {
		for _, c := range list {
			if hostMatches(u.Hostname(), c) {
				return true
			}
		}
		return false
	}
	return !matches(ca.ExcludedURIDomains) && (len(ca.PermittedURIDomains) == 0 || matches(ca.PermittedURIDomains))
}

// hostMatches: a constraint with a leading dot is about the names below, one without about that host alone (RFC 5280,
// 4.2.1.10).
func hostMatches(host, constraint string) bool {
	host, constraint = strings.ToLower(host), strings.ToLower(constraint)
	if strings.HasPrefix(constraint, ".") {
		return strings.HasSuffix(host, constraint)
	}
	return host == constraint
}

func ipWithin(ip net.IP, ca *x509.Certificate) bool {
	a, ok := netip.AddrFromSlice(ip)
	if !ok {
		return false
	}
	a = a.Unmap()
	matches := func(list []*net.IPNet) bool {
		for _, n := range list {
			if n.Contains(a.AsSlice()) {
				return true
			}
		}
		return false
	}
	return !matches(ca.ExcludedIPRanges) && (len(ca.PermittedIPRanges) == 0 || matches(ca.PermittedIPRanges))
}
