package main

import (
	"strings"

	"github.com/spf13/cobra"

	"github.com/scailabs/scaivault/internal/console"
)

func newPKICommand(a *app) *cobra.Command {
	return console.Group("pki", "Run certificate authorities, and have certificates made by them",
		newAuthoritiesCommand(a), newRolesCommand(a), newCertificatesCommand(a), newAnchorsCommand(a), newCertificateRequestsCommand(a),
		newIssueCommand(a), newSignCommand(a), newRenewCommand(a), newRevokeCommand(a), newValidateCommand(a))
}

// readPublic reads PEM that is to be sent to the server. A private key is not: it would be shown to who need not have it.
func (a *app) readPublic(name string) (string, error) {
	raw, err := a.ReadFile(name)
	if err != nil {
		return "", err
	}
	if strings.Contains(string(raw), "PRIVATE KEY-----") {
		return "", console.BadUsage("%s holds a private key, which is never sent: give the file of the certificate or of the request", name)
	}
	return string(raw), nil
}

const reasonHelp = "why: unspecified, key_compromise, ca_compromise, affiliation_changed, superseded, cessation_of_operation, privilege_withdrawn, aa_compromise"
