package certs

import (
	"encoding/hex"
	"fmt"
	"io"
	"math/big"
	"strings"
)

const (
	serialBytes = 16 // 128 random bits
	maxSerial   = 20 // bytes (RFC 5280, 4.1.2.2)
)

// NewSerial draws a serial number: 128 random bits, positive and not zero.
func NewSerial(random io.Reader) (*big.Int, error) {
	raw := make([]byte, serialBytes)
	for {
		if _, err := io.ReadFull(random, raw); err != nil {
			return nil, fmt.Errorf("draw a serial number: %w", err)
		}
		if n := new(big.Int).SetBytes(raw); n.Sign() > 0 {
			return n, nil
		}
	}
}

// FormatSerial writes a serial as upper-case hex pairs with colons (contract OC-15), without leading zero bytes.
func FormatSerial(n *big.Int) string {
	raw := n.Bytes()
	if len(raw) == 0 {
		raw = []byte{0}
	}
	pairs := make([]string, len(raw))
	for i, b := range raw {
		pairs[i] = strings.ToUpper(hex.EncodeToString([]byte{b}))
	}
	return strings.Join(pairs, ":")
}

// ParseSerial reads a serial in any case, with or without colons between pairs, and gives it as FormatSerial writes
// it; ok is false where it is none.
func ParseSerial(text string) (serial string, ok bool) {
	digits := text
	if strings.Contains(text, ":") {
		for _, pair := range strings.Split(text, ":") {
			if len(pair) != 2 {
				return "", false
			}
		}
		digits = strings.ReplaceAll(text, ":", "")
	}
	if len(digits)%2 == 1 {
		digits = "0" + digits
	}
	raw, err := hex.DecodeString(digits)
	if err != nil || len(raw) == 0 || len(raw) > maxSerial+1 {
		return "", false
	}
	n := new(big.Int).SetBytes(raw)
	return FormatSerial(n), n.Sign() > 0 && len(n.Bytes()) <= maxSerial
}
