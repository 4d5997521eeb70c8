package seal

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func newRoot(tb testing.TB) *RootKey {
	tb.Helper()
	r, err := NewRootKey()
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

func TestRootKeyFileRoundTrip(t *testing.T) {
	key, path := newRoot(t), filepath.Join(t.TempDir(), "root.key")
	if err := key.Save(path); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %o, want 600", info.Mode().Perm())
	}
	loaded, err := LoadRootKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(loaded.Export(), key.Export()) {
		t.Error("the loaded key is another")
	}
	if err := newRoot(t).Save(path); !errors.Is(err, os.ErrExist) {
		t.Errorf("saving over a root key: %v, want %v", err, os.ErrExist)
	}
}

func TestParseRootKeyRefusesDamage(t *testing.T) {
	good := string(newRoot(t).Export())
	fields := strings.Fields(good)
	other := strings.Fields(string(newRoot(t).Export()))
	join := func(f ...string) string { return strings.Join(f, " ") }
	tests := map[string]string{
		"empty":             "",
		"key alone":         fields[3],
		"other magic":       join("age-key", fields[1], fields[2], fields[3]),
		"other version":     join(fields[0], "v2", fields[2], fields[3]),
		"checksum of other": join(fields[0], fields[1], other[2], fields[3]),
		"short key":         join(fields[0], fields[1], fields[2], base64.StdEncoding.EncodeToString(make([]byte, 31))),
		"no base64":         join(fields[0], fields[1], fields[2], strings.Repeat("!", 44)),
		"trailing words":    good + "more",
		"too long":          good + strings.Repeat("\n", maxRootFile),
	}
	for name, content := range tests {
		t.Run(name, func(t *testing.T) {
			key, err := ParseRootKey([]byte(content))
			if err == nil {
				t.Fatalf("accepted as %v", key)
			}
			if strings.Contains(err.Error(), fields[3]) {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

func TestParseRootKeyRefusesEveryFlippedBit(t *testing.T) {
	content := newRoot(t).Export()
	for i := range len(content) * 8 {
		damaged := bytes.Clone(content)
		damaged[i/8] ^= 1 << (i % 8)
		key, err := ParseRootKey(damaged)
		if err == nil && !bytes.Equal(key.Export(), content) { // white space may change to other white space
			t.Fatalf("bit %d: another key was accepted", i)
		}
	}
}

func TestRootKeyDoesNotPrint(t *testing.T) {
	key := newRoot(t)
	secret := strings.Fields(string(key.Export()))[3]
	holder := struct{ Key *RootKey }{key}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x"} {
		for _, arg := range []any{key, holder} {
			if out := fmt.Sprintf(verb, arg); strings.Contains(out, secret) || strings.Contains(out, fmt.Sprintf("%x", key.key[:])) ||
				strings.Contains(out, fmt.Sprintf("%d", key.key[:])) {
				t.Errorf("%s of %T shows the key: %s", verb, arg, out)
			}
		}
	}
}

func TestRootUnwrapsOnlyItsOwn(t *testing.T) {
	ctx, key, other := context.Background(), newRoot(t), newRoot(t)
	wrapped, err := key.Wrap(ctx, []byte("partner key"))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := key.Unwrap(ctx, wrapped); err != nil || string(plain) != "partner key" {
		t.Fatalf("got %q, %v", plain, err)
	}
	if _, err := other.Unwrap(ctx, wrapped); !errors.Is(err, ErrWrongRootKey) {
		t.Errorf("another root key: %v, want %v", err, ErrWrongRootKey)
	}
	for _, short := range [][]byte{nil, wrapped[:rootIDLength], wrapped[:rootIDLength+5]} {
		if _, err := key.Unwrap(ctx, short); !errors.Is(err, ErrWrongRootKey) {
			t.Errorf("%d bytes: %v, want %v", len(short), err, ErrWrongRootKey)
		}
	}
}

func TestPartnerKeyIsBoundToPartnerAndVersion(t *testing.T) {
	ctx, root := context.Background(), newRoot(t)
	key := randomKey()
	id := keyID{"ptn_a", 3}
	wrapped, err := wrapPartner(ctx, root, id, key[:])
	if err != nil {
		t.Fatal(err)
	}
	if got, err := unwrapPartner(ctx, root, id, wrapped); err != nil || !bytes.Equal(got, key[:]) {
		t.Fatalf("own partner: %v", err)
	}
	for _, other := range []keyID{{"ptn_b", 3}, {"ptn_a", 4}, {"ptn_", 3}} {
		if _, err := unwrapPartner(ctx, root, other, wrapped); !errors.Is(err, ErrWrongRootKey) {
			t.Errorf("as %v: %v, want %v", other, err, ErrWrongRootKey)
		}
	}
}

func FuzzParseRootKey(f *testing.F) {
	key, err := NewRootKey()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(key.Export())
	f.Add([]byte("scaivault-root-key v1 0000000000000000\n" + base64.StdEncoding.EncodeToString(make([]byte, 32))))
	f.Add([]byte("scaivault-root-key v1"))
	f.Fuzz(func(t *testing.T, content []byte) {
		key, err := ParseRootKey(content)
		if err != nil {
			return
		}
		again, err := ParseRootKey(key.Export())
		if err != nil || !bytes.Equal(again.Export(), key.Export()) {
			t.Fatalf("what was accepted does not round-trip: %v", err)
		}
	})
}
