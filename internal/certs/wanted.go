package certs

import (
	"fmt"
	"slices"
	"strings"
)

// Wanted are names as somebody wrote them, in a body or in a certificate request.
type Wanted struct {
	CommonName               string
	AltNames                 []string // of a body: DNS names, URIs with ://, mail addresses with @, IP addresses
	DNS, IPs, URIs, Emails   []string
	CommonNameField, Request string // how errors name the common name, and what stands before the names of a request
}

// Read parses all names; a common name that is a host name also becomes an alternative name, since nobody looks at
// the common name any more. Names that stand there twice are kept once. Errors: *FieldError.
func (w Wanted) Read() (Names, error) {
	if len(w.AltNames)+len(w.DNS)+len(w.IPs)+len(w.URIs)+len(w.Emails) > MaxNames {
		return Names{}, broken(w.field("alt_names", 0), "at most %d names in one certificate", MaxNames)
	}
	var n Names
	if err := w.readCommonName(&n); err != nil {
		return Names{}, err
	}
	for i, text := range w.AltNames {
		if err := n.add(fmt.Sprintf("alt_names[%d]", i), kindOf(text), text); err != nil {
			return Names{}, err
		}
	}
	for kind, list := range w.byKind {
		for i, text := range list {
			if err := n.add(w.field(kind, i), kind, text); err != nil {
				return Names{}, err
			}
		}
	}
	return n, nil
}

func (w Wanted) byKind(yield func(kind string, list []string) bool) {
	_ = yield(kindDNS, w.DNS) && yield(kindIP, w.IPs) && yield(kindURI, w.URIs) && yield(kindEmail, w.Emails)
}

// The fields of names, which are also their kinds.
const (
	kindDNS   = "dns_sans"
	kindIP    = "ip_sans"
	kindURI   = "uri_sans"
	kindEmail = "email_sans"
)

func (w Wanted) field(kind string, i int) string {
	if w.Request != "" {
		return w.Request
	}
	return fmt.Sprintf("%s[%d]", kind, i)
}

func kindOf(text string) string {
	if _, rule := ParseIP(text); rule == "" {
		return kindIP
	}
	switch {
	case strings.Contains(text, "://"):
		return kindURI
	case strings.Contains(text, "@"):
		return kindEmail
	}
	return kindDNS
}

func (w Wanted) readCommonName(n *Names) error {
	if w.CommonName == "" {
		return nil
	}
	field := w.CommonNameField
	if field == "" {
		field = "common_name"
	}
	if rule := CheckCommonName(w.CommonName); rule != "" {
		return broken(field, "%s", rule)
	}
	if err := n.add(field, kindOf(w.CommonName), w.CommonName); err != nil {
		return err
	}
	n.CommonName = w.CommonName
	if len(n.DNS) == 1 {
		n.CommonName = n.DNS[0]
	}
	return nil
}

// add parses one name of a kind.
func (n *Names) add(field, kind, text string) error {
	rule := ""
	switch kind {
	case kindDNS:
		n.DNS, rule = added(n.DNS, text, ParseDNS)
	case kindIP:
		n.IPs, rule = added(n.IPs, text, ParseIP)
	case kindURI:
		n.URIs, rule = added(n.URIs, text, ParseURI)
	default:
		n.Emails, rule = added(n.Emails, text, ParseEmail)
	}
	if rule != "" {
		return broken(field, "%.80q %s", text, rule)
	}
	return nil
}

func added[T comparable](list []T, text string, parse func(string) (T, string)) ([]T, string) {
	v, rule := parse(text)
	if rule != "" || slices.Contains(list, v) {
		return list, rule
	}
	return append(list, v), ""
}
