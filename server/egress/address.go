package egress

import (
	"errors"
	"fmt"
	"net/netip"
)

// ErrRefused says that a call would have gone where calls may not go.
var ErrRefused = errors.New("the address is not public")

// Networks of IPv4 that are not the public Internet (IANA special-purpose registry), and one public address that
// is a cloud's metadata service. Private, loopback, link-local, carrier and cluster networks are all among them.
func special4() []netip.Prefix {
	return prefixes(
		"0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
		"192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15",
		"198.51.100.0/24", "203.0.113.0/24", "224.0.0.0/4", "240.0.0.0/4",
		"168.63.129.16/32", // Azure
	)
}

// Networks within global unicast (2000::/3) that are not the public Internet or lead elsewhere: protocol
// assignments with Teredo, documentation, and 6to4, which embeds an IPv4 address.
func special6() []netip.Prefix {
	return prefixes("2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20")
}

func prefixes(texts ...string) []netip.Prefix {
	all := make([]netip.Prefix, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParsePrefix(text)
	}
	return all
}

// judge knows which addresses are public.
type judge struct {
	global, nat64      netip.Prefix
	special4, special6 []netip.Prefix
}

func newJudge() judge {
	return judge{
		global: netip.MustParsePrefix("2000::/3"), nat64: netip.MustParsePrefix("64:ff9b::/96"),
		special4: special4(), special6: special6(),
	}
}

// check returns ErrRefused unless a is public, in whatever form it is written.
func (j judge) check(a netip.Addr) error {
	if !j.public(a) {
		return fmt.Errorf("%s: %w", a, ErrRefused)
	}
	return nil
}

func (j judge) public(a netip.Addr) bool {
	a = a.Unmap() // ::ffff:127.0.0.1 is 127.0.0.1
	switch {
	case !a.IsValid() || a.Zone() != "":
		return false
	case a.Is4():
		return !within(j.special4, a)
	case j.nat64.Contains(a): // a network without IPv4 reaches every receiver that has only IPv4 so
		b := a.As16()
		return j.public(netip.AddrFrom4([4]byte(b[12:])))
	}
	return j.global.Contains(a) && !within(j.special6, a)
}

func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
