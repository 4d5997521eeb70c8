package console

import (
	"os"
	"path/filepath"
	"testing"
)

func TestFilesAreWrittenAsAWhole(t *testing.T) {
	dir := t.TempDir()
	path, elsewhere := filepath.Join(dir, "tls.key"), filepath.Join(dir, "elsewhere")
	write := func(content string, replace bool) error { return WriteFile(path, []byte(content), 0o600, replace) }
	if err := write("one", false); err != nil {
		t.Fatal(err)
	}
	if err := write("two", false); ExitCode(err) != Validation {
		t.Errorf("a file that exists: %v", err)
	}
	wantFile(t, path, "one")
	if err := write("three", true); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "three")

	// Somebody laid a link, so that the key goes where he reads it.
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(elsewhere, []byte("his"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(elsewhere, path); err != nil {
		t.Fatal(err)
	}
	if err := write("four", false); ExitCode(err) != Validation {
		t.Errorf("a link: %v", err)
	}
	if err := write("four", true); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "four")
	wantFile(t, elsewhere, "his")

	// A directory is in the way.
	if err := WriteFile(dir, []byte("five"), 0o600, true); err == nil {
		t.Error("a directory was replaced")
	}
	left, err := filepath.Glob(filepath.Join(dir, ".scaivault-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func wantFile(t *testing.T, path, content string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil || string(got) != content {
		t.Errorf("%s holds %q, want %q (%v)", path, got, content, err)
	}
	info, err := os.Lstat(path)
	if err != nil || filepath.Base(path) == "tls.key" && info.Mode() != 0o600 {
		t.Errorf("%s has mode %v (%v)", path, info.Mode(), err)
	}
}
