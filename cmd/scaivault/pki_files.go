package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// The files of a certificate, as a Secret of type kubernetes.io/tls names them.
const (
	certificateFile = "tls.crt"
	keyFile         = "tls.key"
	rootFile        = "ca.crt"
)

// keptFlags say where a certificate that was just made goes.
type keptFlags struct {
	dir            string
	force, showKey bool
}

func (k *keptFlags) add(cmd *cobra.Command, withKey bool) {
	files := certificateFile + " and " + rootFile
	if withKey {
		files = certificateFile + ", " + keyFile + " and " + rootFile
		cmd.Flags().BoolVar(&k.showKey, "show-key", false, "print the private key too")
	}
	cmd.Flags().StringVar(&k.dir, "out", "", "directory for "+files+"; it is made if there is none")
	cmd.Flags().BoolVar(&k.force, "force", false, "replace files that exist")
}

// ready looks, before a certificate is made, whether there is a place for it: a key that cannot be kept would be lost.
func (k *keptFlags) ready(withKey bool) error {
	if k.dir == "" {
		if withKey && !k.showKey {
			return console.BadUsage("say where the private key goes, which is shown this once: --out DIRECTORY, or --show-key to print it")
		}
		return nil
	}
	if err := os.MkdirAll(k.dir, 0o700); err != nil {
		return console.Mistake(err)
	}
	for _, name := range k.names(withKey) {
		path := filepath.Join(k.dir, name)
		info, err := os.Lstat(path)
		switch {
		case err == nil && info.IsDir():
			return console.BadUsage("%s is a directory", path)
		case err == nil && !k.force:
			return console.Occupied(path)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return console.Mistake(err)
		}
	}
	return k.writable()
}

func (k *keptFlags) names(withKey bool) []string {
	if withKey {
		return []string{keyFile, certificateFile, rootFile}
	}
	return []string{certificateFile, rootFile}
}

func (k *keptFlags) writable() error {
	probe, err := os.CreateTemp(k.dir, ".scaivault-*")
	if err != nil {
		return console.Mistake(err)
	}
	return errors.Join(probe.Close(), os.Remove(probe.Name()))
}

// issuedJSON is what the API answers: unlike vaultapi.IssuedCertificate it shows the key.
type issuedJSON struct {
	*vaultapi.IssuedCertificate
	PrivateKey string `json:"private_key"`
}

// keep writes a certificate to its files, or prints it, and says so.
func (a *app) keep(c *vaultapi.IssuedCertificate, k keptFlags) error {
	if k.dir != "" {
		if err := k.write(c); err != nil {
			return fmt.Errorf("%s was made but not kept, so revoke it (scaivault pki revoke %s --reason superseded): %w", c.ID, c.ID, err)
		}
	}
	switch {
	case a.JSON && k.showKey:
		return a.PrintJSON(issuedJSON{c, c.PrivateKey.Reveal()})
	case a.JSON:
		return a.PrintJSON(c)
	case k.dir == "" || k.showKey:
		a.Remark("%s, serial number %s, valid until %s", c.ID, c.SerialNumber, stamp(c.ValidUntil))
		return a.print(k.shown(c))
	}
	rows := [][]string{{"certificate", c.ID}, {"serial number", c.SerialNumber}, {"valid until", stamp(c.ValidUntil)}}
	for _, name := range k.names(c.PrivateKey.Reveal() != "") {
		rows = append(rows, []string{"wrote", filepath.Join(k.dir, name)})
	}
	return console.Table(a.Out, rows)
}

// write writes the key first: whoever finds the new certificate finds its key, too.
func (k *keptFlags) write(c *vaultapi.IssuedCertificate) error {
	served, root := chainOf(c)
	key := c.PrivateKey.Reveal()
	for _, name := range k.names(key != "") {
		content, mode := map[string]string{keyFile: key, certificateFile: served, rootFile: root}[name], fs.FileMode(0o644)
		if name == keyFile {
			mode = 0o600
		}
		if err := console.WriteFile(filepath.Join(k.dir, name), []byte(content), mode, k.force); err != nil {
			return err
		}
	}
	return nil
}

// chainOf is what a server sends, the certificate and the authorities between it and the root, and what its peers
// trust, the root.
func chainOf(c *vaultapi.IssuedCertificate) (served, root string) {
	between := c.CAChain
	if n := len(between); n > 0 {
		between, root = between[:n-1], between[n-1]
	}
	return c.CertificatePEM + strings.Join(between, ""), root
}

// shown is what is printed: the key only where it was asked for.
func (k *keptFlags) shown(c *vaultapi.IssuedCertificate) string {
	text := c.CertificatePEM + c.CAChainPEM
	if k.showKey {
		text = c.PrivateKey.Reveal() + text
	}
	return text
}
