package seal

import (
	"bytes"
	"context"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// The file of a local root key: a line with magic, version and checksum, then the key in base64.
const (
	rootMagic    = "scaivault-root-key"
	rootVersion  = "v1"
	maxRootFile  = 1024
	rootIDLength = 8
)

// RootKey is the local root of the key chain: 32 bytes in a file. It never prints; only Export shows it.
type RootKey struct {
	key  *[keySize]byte
	id   [rootIDLength]byte
	aead cipher.AEAD
}

// NewRootKey draws a root key.
func NewRootKey() (*RootKey, error) {
	return rootKey(randomKey())
}

func rootKey(key [keySize]byte) (*RootKey, error) {
	aead, err := newAEAD(key[:])
	if err != nil {
		return nil, err
	}
	r := &RootKey{key: &key, aead: aead}
	mac := hmac.New(sha256.New, key[:])
	mac.Write([]byte("scaivault root key id"))
	copy(r.id[:], mac.Sum(nil))
	return r, nil
}

// LoadRootKey reads the file that Export or Save wrote.
func LoadRootKey(path string) (*RootKey, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	defer f.Close() //nolint:errcheck // nothing was written
	content, err := io.ReadAll(io.LimitReader(f, maxRootFile+1))
	if err != nil {
		return nil, fmt.Errorf("root key: %w", err)
	}
	r, err := ParseRootKey(content)
	if err != nil {
		return nil, fmt.Errorf("root key file %s: %w", path, err)
	}
	return r, nil
}

// ParseRootKey reads the content of a root key file. Its errors hold nothing of the content.
func ParseRootKey(content []byte) (*RootKey, error) {
	if len(content) > maxRootFile {
		return nil, errors.New("too long for a root key file")
	}
	fields := strings.Fields(string(content))
	if len(fields) != 4 || fields[0] != rootMagic {
		return nil, errors.New("not a root key file: `scaivault-server root-key new` writes one")
	}
	if fields[1] != rootVersion {
		return nil, errors.New("a root key file of another version")
	}
	raw, err := base64.StdEncoding.Strict().DecodeString(fields[3])
	if err != nil || len(raw) != keySize {
		return nil, errors.New("the key is not 32 bytes in base64")
	}
	r, err := rootKey([keySize]byte(raw))
	if err != nil {
		return nil, err
	}
	if subtle.ConstantTimeCompare([]byte(fields[2]), []byte(r.ID())) != 1 {
		return nil, errors.New("the checksum does not fit the key: the file is damaged")
	}
	return r, nil
}

// ID tells root keys apart without telling the key: 16 hexadecimal digits.
func (r *RootKey) ID() string { return hex.EncodeToString(r.id[:]) }

// Export gives the content of a root key file: for `root-key export` and Save only.
func (r *RootKey) Export() []byte {
	return fmt.Appendf(nil, "%s %s %s\n%s\n", rootMagic, rootVersion, r.ID(), base64.StdEncoding.EncodeToString(r.key[:]))
}

// Save writes a new root key file, readable by its owner only and durable. It never replaces a file.
func (r *RootKey) Save(path string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	_, err = f.Write(r.Export())
	if err = errors.Join(err, f.Sync(), f.Close(), syncDir(filepath.Dir(path))); err != nil {
		return fmt.Errorf("root key: %w", err)
	}
	return nil
}

func syncDir(path string) error {
	dir, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("directory of the root key: %w", err)
	}
	return errors.Join(dir.Sync(), dir.Close())
}

// String names the key without showing it.
func (r *RootKey) String() string { return "root key " + r.ID() }

// GoString is String.
func (r *RootKey) GoString() string { return r.String() }

// Wrap implements Root. The root key's id stands before the ciphertext, so that a wrong key is told from damage.
func (r *RootKey) Wrap(_ context.Context, plaintext []byte) ([]byte, error) {
	return append(r.id[:len(r.id):len(r.id)], lock(r.aead, plaintext, bind("root", r.ID()))...), nil
}

// Unwrap implements Root.
func (r *RootKey) Unwrap(_ context.Context, wrapped []byte) ([]byte, error) {
	id, sealed, ok := wrapped, []byte(nil), len(wrapped) > rootIDLength
	if ok {
		id, sealed = wrapped[:rootIDLength], wrapped[rootIDLength:]
	}
	if !ok || !bytes.Equal(id, r.id[:]) {
		return nil, fmt.Errorf("%w: it was made with root key %x, and this is %s", ErrWrongRootKey, id[:min(len(id), rootIDLength)], r.ID())
	}
	plain, err := unlock(r.aead, sealed, bind("root", r.ID()))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrWrongRootKey, err)
	}
	return plain, nil
}
