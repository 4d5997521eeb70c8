package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
)

// hash is the state of a chain after an entry: SHA-256 over the state before it and the entry's line.
// It is plain SHA-256 so that an auditor who holds a checkpoint and its public key needs nothing secret.
type hash [sha256.Size]byte

func (h hash) String() string { return hex.EncodeToString(h[:]) }

// parseHash reads what String wrote.
func parseHash(h *hash, s string) bool {
	b, err := hex.DecodeString(s)
	return err == nil && len(b) == len(h) && copy(h[:], b) == len(h)
}

// genesis is the state of a chain before its first entry. It names tenant and writer, so that a chain cannot
// be passed off as another's.
func genesis(tenant, writer string) hash {
	return sha256.Sum256([]byte("scaivault audit chain v1\n" + tenant + "\n" + writer + "\n"))
}

// link is the state after line; buf is scratch space.
func (h hash) link(buf, line []byte) (hash, []byte) {
	buf = append(append(buf[:0], h[:]...), line...)
	return sha256.Sum256(buf), buf
}

// lines calls visit for each line of a block's body until it returns an error. Every line ends in a newline.
func lines(body []byte, visit func(line []byte) error) error {
	for len(body) > 0 {
		end := bytes.IndexByte(body, '\n')
		if end < 0 {
			return errLine
		}
		if err := visit(body[:end]); err != nil {
			return err
		}
		body = body[end+1:]
	}
	return nil
}
