package main

import (
	"bytes"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/internal/console"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func TestWhatAServerSendsAndWhatItsPeersTrust(t *testing.T) {
	for _, tc := range []struct {
		chain        []string
		served, root string
	}{
		{nil, "leaf\n", ""},
		{[]string{"root\n"}, "leaf\n", "root\n"},
		{[]string{"near\n", "far\n", "root\n"}, "leaf\nnear\nfar\n", "root\n"},
	} {
		served, root := chainOf(&vaultapi.IssuedCertificate{CertificatePEM: "leaf\n", CAChain: tc.chain})
		if diff := cmp.Diff([]string{tc.served, tc.root}, []string{served, root}); diff != "" {
			t.Errorf("%q (-want +got):\n%s", tc.chain, diff)
		}
	}
}

// A certificate that was made and could not be kept is told by its id, with what to do, and without its key.
func TestACertificateThatCannotBeKept(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{Console: console.Console{Out: &out, Errors: &errs}}
	made := &vaultapi.IssuedCertificate{ID: "cert_1", CertificatePEM: "leaf\n", PrivateKey: vaultapi.NewKeyText("hunter2")}
	err := a.keep(made, keptFlags{dir: filepath.Join(t.TempDir(), "gone")})
	if err == nil || !strings.Contains(err.Error(), "scaivault pki revoke cert_1 --reason superseded") {
		t.Errorf("error %v", err)
	}
	if all := out.String() + errs.String() + err.Error(); strings.Contains(all, "hunter2") {
		t.Errorf("the key is shown: %s", all)
	}
}
