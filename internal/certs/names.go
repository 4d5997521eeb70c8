package certs

import (
	"net/netip"
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/idna"
)

// Bounds of names.
const (
	MaxNames      = 100 // alternative names of one certificate
	maxDNS        = 253
	maxLabel      = 63
	maxCommonName = 64 // RFC 5280, appendix A.1
	maxURI        = 512
	maxEmail      = 254
)

// Names are what a certificate is for, as it would be written into it: DNS names in lower case, without a trailing dot.
type Names struct {
	CommonName string
	DNS        []string
	IPs        []netip.Addr
	URIs       []string
	Emails     []string
}

// Count is how many alternative names there are.
func (n Names) Count() int { return len(n.DNS) + len(n.IPs) + len(n.URIs) + len(n.Emails) }

// ParseDNS reads a host name or a wildcard (`*.` and a host name) and gives it in lower case. A trailing dot, other
// letters than ASCII's, a label that only looks like an internationalised one, and what could be taken for an IP address
// are refused, not repaired: two spellings of a name must not pass as two names.
func ParseDNS(text string) (name string, rule string) {
	name = strings.ToLower(text)
	host := strings.TrimPrefix(name, "*.")
	labels := strings.Split(host, ".")
	switch {
	case len(name) > maxDNS || host == "":
		return "", "must be a host name of 1 to 253 characters"
	case strings.HasSuffix(host, "."):
		return "", "must not end with a dot"
	case strings.Contains(host, "*"):
		return "", "may have * only as its whole first label"
	case digitsOnly(labels[len(labels)-1]):
		return "", "must not end in a label of digits: an IP address goes into ip_sans"
	}
	for _, label := range labels {
		if rule := checkLabel(label); rule != "" {
			return "", rule
		}
	}
	return name, ""
}

func checkLabel(label string) string {
	if label == "" || len(label) > maxLabel {
		return "must have labels of 1 to 63 characters"
	}
	for i := range len(label) {
		if c := label[i]; !isLetter(c) && !isDigit(c) && c != '-' {
			return "may hold a-z, 0-9, - and . only: write an internationalised name in its xn-- form"
		}
	}
	if label[0] == '-' || label[len(label)-1] == '-' {
		return "must not have a label that begins or ends with -"
	}
	if len(label) >= 4 && label[2:4] == "--" && !isALabel(label) {
		return "has a label with -- that is no internationalised one"
	}
	return ""
}

// isALabel tells whether a label is the one ASCII form of an internationalised label (RFC 5890).
func isALabel(label string) bool {
	text, err := idna.Registration.ToUnicode(label)
	if err != nil || text == label {
		return false
	}
	again, err := idna.Registration.ToASCII(text)
	return err == nil && again == label
}

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

func digitsOnly(s string) bool {
	for i := range len(s) {
		if !isDigit(s[i]) {
			return false
		}
	}
	return s != ""
}

// ParseIP reads an address; a zone, an IPv4 address inside IPv6 and the unspecified address are refused.
func ParseIP(text string) (netip.Addr, string) {
	a, err := netip.ParseAddr(text)
	switch {
	case err != nil || a.Zone() != "":
		return netip.Addr{}, "must be an IPv4 or IPv6 address"
	case a.Is4In6():
		return netip.Addr{}, "must be written as the IPv4 address that it is"
	case a.IsUnspecified():
		return netip.Addr{}, "must not be the unspecified address"
	}
	return a, ""
}

// ParseURI reads a URI such as a SPIFFE id: with a scheme and a host that is a name, without user, query and fragment.
func ParseURI(text string) (string, string) {
	const rule = "must be a URI of scheme, host name and path, in ASCII, without user, port, query, fragment and percent signs"
	if len(text) > maxURI || !printable(text) || strings.ContainsAny(text, "%?#") {
		return "", rule
	}
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Opaque != "" || u.User != nil || u.String() != text || !isHost(u.Host) {
		return "", rule
	}
	if u.Path != "" && !plainPath(u.Path[1:]) {
		return "", "must not have a path with empty, . or .. segments"
	}
	return text, ""
}

// isHost tells whether s is a host name as ParseDNS writes it, and no wildcard.
func isHost(s string) bool {
	name, bad := ParseDNS(s)
	return bad == "" && name == s && !strings.HasPrefix(s, "*")
}

func plainPath(path string) bool {
	for _, segment := range strings.Split(path, "/") {
		if segment == "." || segment == ".." || segment == "" {
			return false
		}
	}
	return true
}

// ParseEmail reads local@host, the local part of letters, digits and . _ + -.
func ParseEmail(text string) (string, string) {
	const rule = "must be a mail address: letters, digits and . _ + - before the @, and a host name behind it"
	local, host, found := strings.Cut(text, "@")
	if !found || local == "" || len(text) > maxEmail {
		return "", rule
	}
	for i := range len(local) {
		if c := local[i]; !isLetter(c|0x20) && !isDigit(c) && !strings.ContainsRune("._+-", rune(c)) {
			return "", rule
		}
	}
	host, bad := ParseDNS(host)
	if bad != "" || strings.HasPrefix(host, "*") {
		return "", rule
	}
	return local + "@" + host, ""
}

func printable(s string) bool {
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return s != ""
}

// CheckCommonName says what is wrong with a common name that need not be a host name, such as an authority's.
func CheckCommonName(s string) string {
	if s == "" || utf8.RuneCountInString(s) > maxCommonName || !utf8.ValidString(s) || strings.TrimSpace(s) != s {
		return "must be 1 to 64 characters, with no blank at either end"
	}
	for _, r := range s {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) { // Cf: what changes the direction of text, or is not seen
			return "must not hold control characters"
		}
	}
	return ""
}
