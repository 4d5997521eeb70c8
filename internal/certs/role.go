package certs

import (
	"fmt"
	"net/url"
	"strings"
	"time"
)

// Rules are what a role allows. Nothing is allowed that is not named.
type Rules struct {
	// AllowedDomains are host names, or `*.` and a host name, which allows names of exactly one more label.
	AllowedDomains  []string
	AllowSubdomains bool // names at any depth below the allowed domains
	AllowIPs        bool
	AllowedURIs     []string // whole URIs, or a prefix that ends in /*
	AllowEmails     bool     // whose host an allowed domain allows
	RequireCN       bool
}

// Check checks the rules themselves. Errors: *FieldError.
func (r Rules) Check() error {
	for i, d := range r.AllowedDomains {
		if name, rule := ParseDNS(d); rule != "" || name != d {
			return broken(fmt.Sprintf("allowed_domains[%d]", i), "must be a host name in lower case, or *. and a host name")
		}
	}
	for i, text := range r.AllowedURIs {
		whole := text
		if prefix, found := strings.CutSuffix(text, "/*"); found {
			whole = prefix
		}
		if u, err := url.Parse(whole); err != nil || u.Scheme == "" || u.Host == "" {
			return broken(fmt.Sprintf("allowed_uris[%d]", i), "must be a URI with scheme and host, which may end in /*")
		}
		if _, rule := ParseURI(whole); rule != "" {
			return broken(fmt.Sprintf("allowed_uris[%d]", i), "%s", rule)
		}
	}
	return nil
}

// Allow says whether all names may be in a certificate. It is the one place that decides names, whichever way they
// came. Errors: *FieldError.
func (r Rules) Allow(n Names) error {
	if n.CommonName == "" && r.RequireCN {
		return broken("common_name", "the role requires one")
	}
	if n.Count() == 0 {
		return broken("alt_names", "a certificate without any name is of no use")
	}
	for _, name := range n.DNS {
		if !r.allowsHost(name) {
			return broken("alt_names", "the role does not allow the name %s", name)
		}
	}
	if len(n.IPs) > 0 && !r.AllowIPs {
		return broken("ip_sans", "the role does not allow IP addresses, such as %s", n.IPs[0])
	}
	for _, uri := range n.URIs {
		if !r.allowsURI(uri) {
			return broken("uri_sans", "the role does not allow the URI %s", uri)
		}
	}
	for _, mail := range n.Emails {
		_, host, _ := strings.Cut(mail, "@")
		if !r.AllowEmails || !r.allowsHost(host) {
			return broken("email_sans", "the role does not allow the mail address %s", mail)
		}
	}
	return nil
}

// allowsHost judges a host name or a wildcard. A wildcard is allowed where every name that it stands for is.
func (r Rules) allowsHost(name string) bool {
	host, wildcard := strings.CutPrefix(name, "*.")
	for _, domain := range r.AllowedDomains {
		base, oneMore := strings.CutPrefix(domain, "*.")
		if r.AllowSubdomains && (strings.HasSuffix(host, "."+base) || wildcard && host == base) {
			return true
		}
		if wildcard || !oneMore {
			if name == domain {
				return true
			}
			continue
		}
		if label, found := strings.CutSuffix(host, "."+base); found && !strings.Contains(label, ".") {
			return true
		}
	}
	return false
}

func (r Rules) allowsURI(uri string) bool {
	for _, allowed := range r.AllowedURIs {
		prefix, open := strings.CutSuffix(allowed, "*")
		if uri == allowed || open && strings.HasPrefix(uri, prefix) && len(uri) > len(prefix) {
			return true
		}
	}
	return false
}

// Backdate is how far before its making a certificate becomes valid, for clocks that are behind.
const Backdate = 30 * time.Second

// Window gives the life of a certificate made at now: ttl, or longest where that is zero or shorter, and never beyond
// the authority's own end. ok is false where nothing is left of it.
func Window(now time.Time, ttl, longest time.Duration, begin, end time.Time) (from, until time.Time, ok bool) {
	if ttl <= 0 || ttl > longest {
		ttl = longest
	}
	from, until = now.Add(-Backdate).UTC().Truncate(time.Second), now.Add(ttl).UTC().Truncate(time.Second)
	if from.Before(begin) {
		from = begin
	}
	if until.After(end) {
		until = end
	}
	return from, until, until.After(now) && until.After(from)
}
