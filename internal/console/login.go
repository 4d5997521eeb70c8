package console

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/scailabs/scaivault/pkg/client"
)

// ErrNoServer says that nobody told where the vault is.
var ErrNoServer = errors.New("no server is configured: run scaivault config set base_url https://HOST, or set SCAIVAULT_URL")

// File is ~/.scaivault/config.json.
type File struct {
	BaseURL string `json:"base_url,omitempty"`
	CAFile  string `json:"ca_file,omitempty"`
	Token   string `json:"token,omitempty"`
	// TokenFor is the base URL that the token was stored for: it is sent nowhere else.
	TokenFor string `json:"token_for,omitempty"`
}

// Settings are what the environment and the file come to.
type Settings struct {
	BaseURL, CAFile, Token string
}

func (c *Console) path() (string, error) {
	home, err := c.Home()
	if err != nil {
		return "", fmt.Errorf("configuration: %w", err)
	}
	return filepath.Join(home, ".scaivault", "config.json"), nil
}

// Load reads the file; without one it is empty.
func (c *Console) Load() (File, error) {
	path, err := c.path()
	if err != nil {
		return File{}, err
	}
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return File{}, nil
	}
	if err != nil {
		return File{}, fmt.Errorf("configuration: %w", err)
	}
	var f File
	if err := json.Unmarshal(raw, &f); err != nil { // without the decoder's words, which may quote the token
		return File{}, fmt.Errorf("configuration %s is not JSON: correct or remove it", path)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 && f.Token != "" {
		c.Remark("Warning: others can read the token in %s: run chmod 600 %s", path, path)
	}
	return f, nil
}

// Save replaces the file as a whole, so that an interruption leaves the old one.
func (c *Console) Save(f File) error {
	path, err := c.path()
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
	if err := WriteFile(path, append(raw, '\n'), 0o600, true); err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	return nil
}

// Settings reads environment and file; the environment wins.
func (c *Console) Settings() (Settings, error) {
	f, err := c.Load()
	if err != nil {
		return Settings{}, err
	}
	s := Settings{BaseURL: f.BaseURL, CAFile: f.CAFile, Token: c.Getenv("SCAIVAULT_TOKEN")}
	if url := c.Getenv("SCAIVAULT_URL"); url != "" {
		s.BaseURL = url
	}
	if s.Token == "" && same(f.TokenFor, s.BaseURL) {
		s.Token = f.Token
	}
	return s, nil
}

// Dial makes a client of the vault; agent is what it calls itself.
func (c *Console) Dial(s Settings, agent string) (*client.Client, error) {
	if s.BaseURL == "" {
		return nil, Mistake(ErrNoServer)
	}
	o := client.Options{
		BaseURL: s.BaseURL, Token: s.Token, CAFile: s.CAFile,
		TenantID: c.Getenv("SCAIVAULT_TENANT_ID"), PartnerID: c.Getenv("SCAIVAULT_PARTNER_ID"),
		UserAgent: agent,
	}
	if c.Getenv("SCAIVAULT_DEBUG") == "1" {
		o.Log = slog.New(slog.NewTextHandler(c.Errors, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	v, err := client.New(o)
	if err != nil {
		return nil, Mistake(err)
	}
	return v, nil
}

// same compares base URLs.
func same(a, b string) bool { return strings.TrimRight(a, "/") == strings.TrimRight(b, "/") }
