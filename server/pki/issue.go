package pki

import (
	"context"
	"crypto"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net"
	"net/url"
	"time"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
)

// order is a certificate that is wanted, whichever way it was asked for.
type order struct {
	access   guard.Access
	role     string
	wanted   []certs.Wanted                  // all must be allowed; the first are the certificate's names
	public   crypto.PublicKey                // nil: a key is made
	ttl      time.Duration                   // 0: the role's longest
	replaces string                          // id of the certificate that this one renews
	then     func(*guard.Call, string) error // of the certificate's transaction, with its id; nil: nothing
	owner    string                          // the Kubernetes object that it is for; "": none
}

// Issue makes a key and a certificate by a role. Scope pki:issue, and permission issue on pki:<role>. The key is in the
// answer, and kept only where the role says so. Errors: invalid_role, role_not_found, ca_inactive, validation_error, invalid_duration.
func (s *Service) Issue(ctx context.Context, who guard.Caller, name string, w vaultapi.CertificateIssue) (vaultapi.IssuedCertificate, error) {
	o := order{access: issuing(ActionIssue, name), role: name, wanted: []certs.Wanted{{CommonName: w.CommonName, AltNames: w.AltNames, IPs: w.IPSANs}}}
	return s.take(ctx, who, o, w.TTL, func(*order) error { return nil })
}

// Sign makes a certificate by a role for the key of a certificate request. Scope pki:issue, and permission issue on
// pki:<role>. The request's own names must be allowed even where the body names others. Errors: those of Issue.
func (s *Service) Sign(ctx context.Context, who guard.Caller, name string, w vaultapi.CertificateSign) (vaultapi.IssuedCertificate, error) {
	o := order{access: issuing(ActionSign, name), role: name, owner: w.Owner}
	return s.take(ctx, who, o, w.TTL, func(o *order) error {
		if err := guard.CheckOwner(who, o.owner); err != nil {
			return err
		}
		return o.read(w)
	})
}

// read takes key and names from a certificate request.
func (o *order) read(w vaultapi.CertificateSign) error {
	r, err := certs.ParseRequest("csr_pem", w.CSRPEM)
	if err != nil {
		return err
	}
	o.public, o.wanted = r.PublicKey, []certs.Wanted{r.Wanted}
	if len(w.AltNames)+len(w.IPSANs) > 0 {
		instead := certs.Wanted{CommonName: r.Wanted.CommonName, CommonNameField: "csr_pem", AltNames: w.AltNames, IPs: w.IPSANs}
		o.wanted = []certs.Wanted{instead, r.Wanted}
	}
	return nil
}

// take reads the rest of an order, for those who may give one, and fills it.
func (s *Service) take(ctx context.Context, who guard.Caller, o order, ttl string, read func(*order) error) (vaultapi.IssuedCertificate, error) {
	refuse := func(err error) (vaultapi.IssuedCertificate, error) {
		return refused[vaultapi.IssuedCertificate](ctx, s, who, o.access, judged(err))
	}
	if _, err := s.guard.Check(ctx, who, o.access, 0); err != nil {
		return refuse(err)
	}
	if ttl != "" {
		var err error
		if o.ttl, err = lifetime("ttl", ttl); err != nil {
			return refuse(err)
		}
	}
	if err := read(&o); err != nil {
		return refuse(err)
	}
	return s.fill(ctx, who, o)
}

// made is a certificate that is signed but not yet stored.
type made struct {
	id    string
	role  role
	chain []authority // from the issuer to the root
	names certs.Names
	cert  *x509.Certificate
	key   crypto.Signer // nil: the caller's own

	sealed *sealedKey // nil: it is not kept
}

// fill makes what was ordered. Everything slow is done before the transaction, which holds that role and authority are
// still what the certificate was made by.
func (s *Service) fill(ctx context.Context, who guard.Caller, o order) (vaultapi.IssuedCertificate, error) {
	m, err := s.make(ctx, who.Tenant, o)
	if err != nil {
		return refused[vaultapi.IssuedCertificate](ctx, s, who, o.access, judged(err))
	}
	answer, err := m.answer(o)
	if err != nil {
		return refused[vaultapi.IssuedCertificate](ctx, s, who, o.access, err)
	}
	return guard.Change(ctx, s.guard, who, o.access, func(c *guard.Call) (vaultapi.IssuedCertificate, error) {
		if err := s.unchanged(c, m); err != nil {
			return vaultapi.IssuedCertificate{}, err
		}
		c.Note("certificate_id", m.id)
		c.Note("serial_number", answer.SerialNumber)
		c.Note("common_name", answer.CommonName)
		if err := insertCertificate(c, m, o); err != nil {
			return vaultapi.IssuedCertificate{}, err
		}
		if err := s.insertKey(c, m); err != nil {
			return vaultapi.IssuedCertificate{}, err
		}
		if o.then != nil {
			if err := o.then(c, m.id); err != nil {
				return vaultapi.IssuedCertificate{}, err
			}
		}
		c.Tx.Stage(s.signed, signed{c.Who.Tenant, m.chain[0].ID})
		return answer, insertOwner(c, m.id, o.owner)
	})
}

func (s *Service) make(ctx context.Context, tenant string, o order) (m made, err error) {
	m.id = newID("cert_")
	if m.role, err = s.role(ctx, tenant, o.role); err != nil {
		return m, err
	}
	if m.names, err = allowed(m.role, o.wanted); err != nil {
		return m, err
	}
	ca, err := s.authority(ctx, tenant, m.role.CAID)
	if err != nil {
		return m, err
	}
	if m.chain, err = s.chain(ctx, tenant, ca); err != nil {
		return m, err
	}
	public := o.public
	if public == nil {
		if m.key, err = m.role.spec().Generate(s.random); err != nil {
			return m, fault.Internal(err, "key of a certificate")
		}
		public = m.key.Public()
	} else if rule := certs.CheckPublicKey(public, m.role.spec()); rule != "" {
		return m, invalid("csr_pem", rule)
	}
	draft, err := s.draft(m, public, o.ttl)
	if err != nil {
		return m, err
	}
	if m.cert, err = s.signLeaf(ctx, tenant, m.chain, draft, public); err != nil {
		return m, err
	}
	return m, s.sealOwn(ctx, tenant, &m)
}

// allowed gives the names of the certificate, which the role must allow, as well as all others that were asked for.
func allowed(r role, wanted []certs.Wanted) (certs.Names, error) {
	var first certs.Names
	for i, w := range wanted {
		names, err := w.Read()
		if err != nil {
			return first, err
		}
		if err := r.rules().Allow(names); err != nil {
			return first, err
		}
		if i == 0 {
			first = names
		}
	}
	return first, nil
}

// draft is the certificate before it is signed.
func (s *Service) draft(m made, public crypto.PublicKey, ttl time.Duration) (*x509.Certificate, error) {
	now, ca := s.guard.Now(), m.chain[0]
	if err := ca.usable(now); err != nil {
		return nil, err
	}
	longest, err := lifetime("max_ttl", m.role.MaxTTL)
	if err != nil {
		return nil, err
	}
	serial, err := certs.NewSerial(s.random)
	if err != nil {
		return nil, fault.Internal(err, "certificate")
	}
	d := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: m.names.CommonName}, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames: m.names.DNS, EmailAddresses: m.names.Emails,
	}
	if certs.SpecOf(public).Type == certs.RSA {
		d.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	for _, ip := range m.names.IPs {
		d.IPAddresses = append(d.IPAddresses, net.IP(ip.AsSlice()))
	}
	for _, text := range m.names.URIs {
		u, err := url.Parse(text)
		if err != nil {
			return nil, fault.Internal(err, "a URI that was read before")
		}
		d.URIs = append(d.URIs, u)
	}
	var ok bool
	if d.NotBefore, d.NotAfter, ok = certs.Window(now, ttl, longest, ca.Cert.NotBefore, ca.Cert.NotAfter); !ok {
		return nil, fault.Conflict(fault.CodeCAInactive, "authority %s ends too soon for another certificate", ca.Name).With("ca_id", ca.ID)
	}
	return d, nil
}

// signLeaf holds a draft to the name constraints of all authorities above it, and has the first sign it.
func (s *Service) signLeaf(ctx context.Context, tenant string, chain []authority, draft *x509.Certificate, public crypto.PublicKey) (*x509.Certificate, error) {
	if name := certs.CheckConstraints(draft, certificates(chain)); name != "" {
		return nil, invalid("alt_names", "the name constraints of the authority do not allow "+name)
	}
	der, err := s.sign(ctx, tenant, chain[0], draft, public)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fault.Internal(err, "a certificate that was just signed")
	}
	return cert, nil
}

// unchanged holds role and authority until the transaction ends, and refuses if they are not what m was made by.
func (s *Service) unchanged(c *guard.Call, m made) error {
	r, err := findRole(c.Tx.QueryRow, c.Who.Tenant, m.role.Name, share(s.db))
	if err != nil {
		return err
	}
	if r.settings != m.role.settings {
		return fault.Conflict(fault.CodeVersionConflict, "role %s was changed at this moment: repeat the call", r.Name)
	}
	return s.unrotated(c, m.chain[0])
}

// unrotated holds an authority until the transaction ends, and refuses if it signs no more, or with another key.
func (s *Service) unrotated(c *guard.Call, by authority) error {
	ca, err := findAuthority(c.Tx.QueryRow, c.Who.Tenant, by.ID, share(s.db))
	if err != nil {
		return err
	}
	if ca.UID != by.UID {
		return fault.Conflict(fault.CodeVersionConflict, "authority %s was rotated at this moment: repeat the call", ca.Name)
	}
	return ca.usable(c.Now())
}

// answer is what the caller gets, with the private key that was made.
func (m made) answer(o order) (vaultapi.IssuedCertificate, error) {
	text := certs.EncodeCertificates(m.cert.Raw)
	a := vaultapi.IssuedCertificate{
		ID: m.id, SerialNumber: certs.FormatSerial(m.cert.SerialNumber), Certificate: text, CertificatePEM: text,
		CAChain: []string{}, CAChainPEM: certs.EncodeCertificates(raw(m.chain)...), CommonName: m.names.CommonName,
		ValidFrom: vaultapi.At(m.cert.NotBefore), ValidUntil: vaultapi.At(m.cert.NotAfter), NotAfter: vaultapi.At(m.cert.NotAfter), Replaces: o.replaces,
	}
	for _, ca := range m.chain {
		a.CAChain = append(a.CAChain, certs.EncodeCertificates(ca.DER))
	}
	if m.key == nil {
		return a, nil
	}
	der, err := x509.MarshalPKCS8PrivateKey(m.key)
	if err != nil {
		return a, fault.Internal(errors.New("a private key cannot be encoded"), "certificate")
	}
	a.PrivateKey = keyText(der)
	return a, nil
}
