package pki

import (
	"fmt"
	"net"
	"strings"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// left is how many authorities those above leave below one that is next; -1: any number.
func left(parents []authority) (limit int, err error) {
	limit = -1
	for i, above := range parents {
		n := above.Cert.MaxPathLen
		if n < 0 || n == 0 && !above.Cert.MaxPathLenZero {
			continue
		}
		if n-i-1 < 0 {
			return 0, invalid("parent_ca_id", "the path length of "+above.Name+" leaves no authority below the parent")
		}
		if limit < 0 || n-i-1 < limit {
			limit = n - i - 1
		}
	}
	return limit, nil
}

// constrain puts in path length and name constraints.
func (p *plan) constrain(w vaultapi.AuthorityWrite) error {
	limit, err := left(p.parent)
	if err != nil {
		return err
	}
	if n := w.MaxPathLength; n != nil {
		if *n < 0 || *n > maxDepth || limit >= 0 && *n > limit {
			return invalid("max_path_length", fmt.Sprintf("must be 0 to %d, and no more than the authorities above leave", maxDepth))
		}
		limit = *n
	}
	if len(p.parent) >= maxDepth {
		return invalid("parent_ca_id", fmt.Sprintf("at most %d authorities stand above one another", maxDepth))
	}
	p.draft.MaxPathLen, p.draft.MaxPathLenZero = limit, limit == 0
	return judged(p.constrainNames(w))
}

func (p *plan) constrainNames(w vaultapi.AuthorityWrite) (err error) {
	if p.draft.PermittedDNSDomains, err = domains("permitted_dns_domains", w.PermittedDNSDomains); err != nil {
		return err
	}
	if p.draft.ExcludedDNSDomains, err = domains("excluded_dns_domains", w.ExcludedDNSDomains); err != nil {
		return err
	}
	if p.draft.PermittedIPRanges, err = networks("permitted_ip_ranges", w.PermittedIPRanges); err != nil {
		return err
	}
	p.draft.ExcludedIPRanges, err = networks("excluded_ip_ranges", w.ExcludedIPRanges)
	d := p.draft
	d.PermittedDNSDomainsCritical = len(d.PermittedDNSDomains)+len(d.ExcludedDNSDomains)+len(d.PermittedIPRanges)+len(d.ExcludedIPRanges) > 0
	return err
}

func domains(field string, list []string) ([]string, error) {
	if len(list) > certs.MaxNames {
		return nil, &certs.FieldError{Field: field, Rule: fmt.Sprintf("at most %d", certs.MaxNames)}
	}
	for i, d := range list {
		if name, rule := certs.ParseDNS(d); rule != "" || name != d || strings.HasPrefix(d, "*") {
			return nil, &certs.FieldError{Field: fmt.Sprintf("%s[%d]", field, i), Rule: "must be a host name in lower case: it stands for all names below it, too"}
		}
	}
	return list, nil
}

func networks(field string, list []string) ([]*net.IPNet, error) {
	if len(list) > certs.MaxNames {
		return nil, &certs.FieldError{Field: field, Rule: fmt.Sprintf("at most %d", certs.MaxNames)}
	}
	var all []*net.IPNet
	for i, text := range list {
		ip, network, err := net.ParseCIDR(text)
		if err != nil || !ip.Equal(network.IP) {
			return nil, &certs.FieldError{Field: fmt.Sprintf("%s[%d]", field, i), Rule: "must be a network such as 10.0.0.0/8"}
		}
		all = append(all, network)
	}
	return all, nil
}
