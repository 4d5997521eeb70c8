package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// file is ~/.scaivault/config.json.
type file struct {
	BaseURL string `json:"base_url,omitempty"`
	CAFile  string `json:"ca_file,omitempty"`
	Token   string `json:"token,omitempty"`
	// TokenFor is the base URL that the token was stored for: it is sent nowhere else.
	TokenFor string `json:"token_for,omitempty"`
}

// settings are what the environment and the file come to.
type settings struct {
	baseURL, caFile, token string
}

func (a *app) path() (string, error) {
	home, err := a.home()
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return filepath.Join(home, ".scaivault", "config.json"), nil
}

func (a *app) load() (file, error) {
	path, err := a.path()
	if err != nil {
		return file{}, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return file{}, nil
	}
	if err != nil {
		return file{}, fmt.Errorf("configuration: %w", err)
	}
	var f file
	if err := json.Unmarshal(raw, &f); err != nil { // without the decoder's words, which may quote the token
		return file{}, fmt.Errorf("configuration %s is not JSON: correct or remove it", path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && f.Token != "" {
		a.remark("Warning: others can read the token in %s: run chmod 600 %s", path, path)
	}
	return f, nil
}

// save replaces the file as a whole, so that an interruption leaves the old one.
func (a *app) save(f file) error {
	path, err := a.path()
	if err != nil {
		return err
	}
	dir := filepath.Dir(path)
	err = errors.Join(os.MkdirAll(dir, 0o700), os.Chmod(dir, 0o700)) //nolint:gosec // a directory, which its owner must be able to enter
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	raw, err := json.MarshalIndent(f, "", "  ")
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	fresh, err := os.CreateTemp(dir, ".config-*") // made with mode 0600
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	_, err = fresh.Write(append(raw, '\n'))
	if err = errors.Join(err, fresh.Sync(), fresh.Close()); err == nil {
		err = os.Rename(fresh.Name(), path)
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", errors.Join(err, os.Remove(fresh.Name())))
	}
	return nil
}

func (a *app) settings() (settings, error) {
	f, err := a.load()
	if err != nil {
		return settings{}, err
	}
	s := settings{baseURL: f.BaseURL, caFile: f.CAFile, token: a.getenv("SCAIVAULT_TOKEN")}
	if url := a.getenv("SCAIVAULT_URL"); url != "" {
		s.baseURL = url
	}
	if s.token == "" && same(f.TokenFor, s.baseURL) {
		s.token = f.Token
	}
	return s, nil
}

// same compares base URLs.
func same(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }
