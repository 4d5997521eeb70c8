package egress_test

import (
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/server/egress"
)

// FuzzCheckURL: what is accepted is https to a host that no resolver can take for another than the one that is judged.
func FuzzCheckURL(f *testing.F) {
	for _, seed := range []string{
		"https://receiver.example.org/hook", "https://2130706433/", "https://0x7f.1/", "https://[::ffff:127.0.0.1]:443/", "https://127.0.0.1./",
		"https://a@b/", "https://a:0/", "http://a/", "https://%31%32%37.0.0.1/", "https://a\\@b", "https://[fe80::1%25eth0]/", "https://a。b/",
	} {
		f.Add(seed)
	}
	strict := egress.New(egress.Options{})
	f.Fuzz(func(t *testing.T, raw string) {
		if strict.CheckURL(raw) != nil {
			return
		}
		u, err := url.Parse(raw)
		if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" {
			t.Fatalf("%q was accepted: %+v, %v", raw, u, err)
		}
		host := u.Hostname()
		if a, err := netip.ParseAddr(host); err == nil {
			if !egress.Public(a) {
				t.Fatalf("%q leads to %s", raw, a)
			}
			return
		}
		labels := strings.Split(strings.TrimSuffix(host, "."), ".")
		if _, err := strconv.ParseUint(labels[len(labels)-1], 0, 64); err == nil {
			t.Fatalf("%q ends in a number, which some resolvers read as an address", raw)
		}
		for _, c := range host {
			if c >= 0x80 || c <= ' ' || strings.ContainsRune(`/\@:%#?[]`, c) {
				t.Fatalf("%q has %q in its host", raw, c)
			}
		}
	})
}
