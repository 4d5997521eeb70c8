package revocation_test

import (
	"bytes"
	"crypto/rand"
	"crypto/x509"
	"fmt"
	"math/big"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"github.com/scailabs/scaivault/internal/certs"
	"github.com/scailabs/scaivault/server/fault"
)

// Ids that are none, names, and authorities of other tenants are not there.
func TestForeignAuthorities(t *testing.T) {
	each(t, func(w *world) {
		q := w.question(w.issue(), "")
		for id, tenant := range map[string]string{
			w.middle: "tnt_other", "middle": "", "root": "", "ca_none": "", "": "", "ca_' OR '1'='1": "", "ca_%": "",
			strings.ToUpper(w.middle): "", w.middle + "\x00": "", "ca_" + strings.Repeat("a", 4096): "",
		} {
			_, lerr := w.List(w.Context(), tenant, id, "")
			_, oerr := w.Respond(w.Context(), tenant, id, q)
			_, cerr := w.Certificate(w.Context(), tenant, id, "")
			for what, err := range map[string]error{"list": lerr, "OCSP": oerr, "certificate": cerr} {
				if !fault.Is(err, fault.CodeCANotFound) {
					w.Errorf("%s of %.40q in %q: %v", what, id, tenant, err)
				}
			}
		}
		for _, key := range []string{"00", "zz", strings.Repeat("ab", 4096)} {
			if _, err := w.List(w.Context(), "", w.middle, key); !fault.Is(err, fault.CodeCANotFound) {
				w.Errorf("key %.10q: %v", key, err)
			}
		}
	})
}

// What is no request is refused before anything is looked up or signed; so is one about another issuer, even where its
// serial number is one of ours.
func TestHostileRequests(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue()
		good := w.question(leaf, "")
		for name, der := range map[string][]byte{
			"nothing": nil, "garbage": []byte("MEUwQzBB"), "a tail": append(append([]byte{}, good...), 0),
			"a megabyte": make([]byte, 1<<20), "a megabyte of nonce": w.question(leaf, strings.Repeat("n", 1<<20)),
		} {
			if got := w.refusal(w.Service, w.middle, der); got != ocsp.Malformed {
				w.Errorf("%s: %v", name, got)
			}
		}
		for _, text := range []string{"", "====", "%00", "..", strings.Repeat("A", 1<<20), "MEUw QzBB"} {
			got, err := w.RespondGet(w.Context(), "", w.middle, text)
			w.fatal(err)
			if string(got.DER) != string(ocsp.MalformedRequestErrorResponse) {
				w.Errorf("%.20q: %x", text, got.DER)
			}
		}
		if got := w.refusal(w.Service, w.root, good); got != ocsp.Unauthorized {
			w.Errorf("the root about a certificate below: %v", got)
		}
		read, err := ocsp.ParseRequest(good)
		w.fatal(err)
		for what, hash := range map[string][]byte{"name": read.IssuerNameHash, "key": read.IssuerKeyHash} {
			forged := bytes.Replace(good, hash, bytes.Repeat([]byte("x"), 20), 1)
			if got := w.refusal(w.Service, w.middle, forged); got != ocsp.Unauthorized {
				w.Errorf("an issuer of another %s: %v", what, got)
			}
		}
		if n := w.counted("scaivault_pki_ocsp_signatures_total"); n != 0 {
			w.Errorf("%v answers were signed", n)
		}
	})
}

// A nonce is in no answer and in no memory: it can neither bring an old answer back nor fill the memory.
func TestNoncesPoisonNothing(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue()
		var first []byte
		for i := range 50 {
			got, err := w.Respond(w.Context(), "", w.middle, w.question(leaf, fmt.Sprintf("nonce-%d", i)))
			w.fatal(err)
			if first == nil {
				first = got.DER
			}
			if string(got.DER) != string(first) || strings.Contains(string(got.DER), "nonce-") {
				w.Fatalf("nonce %d changed the answer", i)
			}
		}
		if n := w.counted("scaivault_pki_ocsp_signatures_total"); n != 1 {
			w.Errorf("%v signatures for one certificate", n)
		}
		w.revoke(leaf, "key_compromise")
		for i := range 50 {
			got, err := w.Respond(w.Context(), "", w.middle, w.question(leaf, fmt.Sprintf("nonce-%d", i)))
			w.fatal(err)
			if answer, err := ocsp.ParseResponseForCert(got.DER, leaf, w.issuer); err != nil || answer.Status != ocsp.Revoked {
				w.Fatalf("nonce %d brought back %+v, %v", i, answer, err)
			}
		}
	})
}

// Made-up serial numbers are unknown, not good, and push nothing out of the memory.
func TestMadeUpSerials(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue()
		w.ask(w.Service, leaf)
		for range 200 {
			serial, err := certs.NewSerial(rand.Reader)
			w.fatal(err)
			if got := w.ask(w.Service, &x509.Certificate{SerialNumber: serial}); got.Status != ocsp.Unknown {
				w.Fatalf("%X is %d", serial, got.Status)
			}
		}
		before := w.counted("scaivault_pki_ocsp_signatures_total")
		w.ask(w.Service, leaf)
		if after := w.counted("scaivault_pki_ocsp_signatures_total"); before != 201 || after != before {
			w.Errorf("%v signatures, then %v", before, after)
		}
		// The serial number of the root itself is nobody's below middle.
		if got := w.ask(w.Service, &x509.Certificate{SerialNumber: new(big.Int).Lsh(big.NewInt(1), 159)}); got.Status != ocsp.Unknown {
			w.Errorf("a serial of 20 bytes: %d", got.Status)
		}
	})
}

// A clock that is set back neither keeps an answer from the future nor makes the number of a list smaller.
func TestClockSetBack(t *testing.T) {
	each(t, func(w *world) {
		leaf := w.issue()
		w.pass(4 * time.Hour)
		late, number := w.ask(w.Service, leaf).ThisUpdate, w.list(w.Service, w.middle).Number
		w.pass(-2 * time.Hour)
		if got := w.ask(w.Service, leaf); !got.ThisUpdate.Before(late) {
			w.Errorf("an answer of %v at %v", got.ThisUpdate, w.clock())
		}
		w.revoke(leaf, "")
		list := w.list(w.Service, w.middle)
		if list.Number.Cmp(number) <= 0 || listed(list, leaf) != 0 {
			w.Errorf("list %v after %v, reason %d", list.Number, number, listed(list, leaf))
		}
	})
}
