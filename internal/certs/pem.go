package certs

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"strings"
)

// Bounds of what is read (docs/security/mistakes.md, item 48).
const (
	MaxPEM   = 256 << 10 // bytes of one PEM text
	MaxDER   = 64 << 10  // bytes of one certificate or request
	MaxChain = 16        // certificates of one text
)

const (
	pemBegin = "-----BEGIN "
	pemEnd   = "-----END "
	pemTail  = "-----"

	typeCertificate = "CERTIFICATE"
	typeRequest     = "CERTIFICATE REQUEST"
	typeOldRequest  = "NEW CERTIFICATE REQUEST"
)

// ParseCertificates reads 1 to MaxChain certificates in PEM. Between the blocks there may be white space and nothing
// else. Each byte is looked at a fixed number of times, whatever the text is. Errors: *FieldError of the field given.
func ParseCertificates(field, text string) ([]*x509.Certificate, error) {
	blocks, err := parsePEM(field, text)
	if err != nil {
		return nil, err
	}
	var all []*x509.Certificate
	for _, b := range blocks {
		if b.kind != typeCertificate {
			return nil, broken(field, "must hold blocks of type CERTIFICATE only")
		}
		c, err := x509.ParseCertificate(b.der)
		if err != nil {
			return nil, broken(field, "holds a block that is not an X.509 certificate")
		}
		all = append(all, c)
	}
	return all, nil
}

type pemBlock struct {
	kind string
	der  []byte
}

// parsePEM reads blocks strictly: no headers, no text around them.
func parsePEM(field, text string) ([]pemBlock, error) {
	if len(text) > MaxPEM {
		return nil, broken(field, "must have at most %d bytes", MaxPEM)
	}
	var all []pemBlock
	for rest := strings.TrimSpace(text); rest != ""; rest = strings.TrimLeft(rest, " \t\r\n") {
		if len(all) == MaxChain {
			return nil, broken(field, "must hold at most %d blocks", MaxChain)
		}
		var b pemBlock
		var ok bool
		if b, rest, ok = nextBlock(rest); !ok {
			return nil, broken(field, "must be PEM: -----BEGIN …-----, base64, -----END …-----, and nothing between blocks")
		}
		if len(b.der) > MaxDER {
			return nil, broken(field, "holds a block of more than %d bytes", MaxDER)
		}
		all = append(all, b)
	}
	if len(all) == 0 {
		return nil, broken(field, "must be PEM and is empty")
	}
	return all, nil
}

// nextBlock reads the block that text begins with.
func nextBlock(text string) (b pemBlock, rest string, ok bool) {
	line, body, found := strings.Cut(text, "\n")
	line = strings.TrimRight(line, " \t\r")
	if !found || !strings.HasPrefix(line, pemBegin) || !strings.HasSuffix(line, pemTail) || len(line) < len(pemBegin)+len(pemTail) {
		return b, "", false
	}
	b.kind = line[len(pemBegin) : len(line)-len(pemTail)]
	content, rest, found := strings.Cut(body, pemEnd)
	if !found || b.kind == "" {
		return b, "", false
	}
	if rest, ok = strings.CutPrefix(rest, b.kind+pemTail); !ok {
		return b, "", false
	}
	der, err := base64.StdEncoding.Strict().DecodeString(strings.Map(unspaced, content))
	b.der = der
	return b, rest, err == nil
}

// unspaced drops white space.
func unspaced(r rune) rune {
	switch r {
	case ' ', '\t', '\r', '\n':
		return -1
	}
	return r
}

// EncodeCertificates writes certificates as PEM, one after the other.
func EncodeCertificates(all ...[]byte) string {
	var b strings.Builder
	for _, der := range all {
		b.Write(pem.EncodeToMemory(&pem.Block{Type: typeCertificate, Bytes: der}))
	}
	return b.String()
}
