package console

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// WriteFile writes a file as a whole: an interruption leaves what was there, and nobody reads half of it. Without
// replace a file that exists stays as it is, which is an error of the user's. A link is replaced, not followed.
func WriteFile(path string, content []byte, mode fs.FileMode, replace bool) error {
	fresh, err := os.CreateTemp(filepath.Dir(path), ".scaivault-*") // made with mode 0600
	if err != nil {
		return err
	}
	_, err = fresh.Write(content)
	err = errors.Join(err, fresh.Chmod(mode), fresh.Sync(), fresh.Close())
	if err == nil {
		err = place(fresh.Name(), path, replace)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh.Name()))
	}
	return nil
}

// place gives a file its name. Unlike a rename, a link fails where something is.
func place(fresh, path string, replace bool) error {
	if replace {
		return os.Rename(fresh, path)
	}
	err := os.Link(fresh, path)
	switch {
	case errors.Is(err, fs.ErrExist):
		return Occupied(path)
	case err != nil:
		return err
	}
	return os.Remove(fresh)
}

// Occupied says that there is a file already.
func Occupied(path string) error { return BadUsage("%s exists: give --force to replace it", path) }
