package egress

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
)

const maxURL = 2048

// CheckURL says what is wrong with a URL that is to be called, so far as the URL alone can tell. A name is not
// resolved: it need not exist yet, and what it means is judged at each call.
func (c *Client) CheckURL(raw string) error {
	if len(raw) > maxURL {
		return fmt.Errorf("has at most %d bytes", maxURL)
	}
	u, err := url.Parse(raw)
	if err != nil || u.Opaque != "" || u.Host == "" {
		return errors.New("must be an absolute URL such as https://receiver.example.org/hook")
	}
	switch {
	case u.Scheme != "https" && (u.Scheme != "http" || !c.allowPrivate):
		return errors.New("must begin with https://")
	case u.User != nil:
		return errors.New("must not hold a user or a password: the receiver checks the signature instead")
	case u.Fragment != "" || strings.Contains(raw, "#"):
		return errors.New("must not have a fragment")
	}
	if err := checkPort(u.Host, u.Port()); err != nil {
		return err
	}
	return c.checkHost(u.Hostname())
}

func checkPort(host, port string) error {
	if port == "" && !strings.HasSuffix(host, ":") {
		return nil
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return errors.New("has no valid port: give one from 1 to 65535, or none")
	}
	return nil
}

func (c *Client) checkHost(host string) error {
	if a, err := netip.ParseAddr(host); err == nil {
		if !c.allowPrivate && !c.judge.public(a) {
			return errors.New("leads to an address that is not public; an administrator allows such receivers with --webhook-allow-private")
		}
		return nil
	}
	if !isName(host) {
		return errors.New("has no valid host: give a DNS name or an IP address in its usual form")
	}
	return nil
}

// isName tells whether host is a DNS name, whose last label no resolver takes for a number: 2130706433, 127.1 and
// 0x7f.0.0.1 are addresses to some of them.
func isName(host string) bool {
	name := strings.TrimSuffix(host, ".")
	labels := strings.Split(name, ".")
	for _, label := range labels {
		if label == "" || len(label) > 63 || strings.Trim(label, nameCharacters) != "" {
			return false
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	return len(name) <= 253 && strings.Trim(last, "0123456789") != "" && !strings.HasPrefix(last, "0x")
}

const nameCharacters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_"
