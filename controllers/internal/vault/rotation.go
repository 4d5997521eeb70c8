package vault

import (
	"context"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// codeAssigned is the code of a path that another rotation policy has.
const codeAssigned = "secret_assigned"

// IsAssigned tells whether the vault said that another rotation policy has a path.
func IsAssigned(err error) bool { return vaultapi.Code(err) == codeAssigned }

// Select lists the paths below a prefix that the identity may list and that match wants: all, or limit and one more.
func (s *Session) Select(ctx context.Context, prefix string, match func(vaultapi.SecretInfo) bool, limit int) ([]string, error) {
	var paths []string
	for item, err := range s.secrets.All(ctx, client.ListOptions{Prefix: prefix, Limit: listPage, IncludeMetadata: true}) {
		if err != nil {
			return nil, s.noted(err)
		}
		if !match(item) {
			continue
		}
		if paths = append(paths, item.Path); len(paths) > limit {
			break
		}
	}
	return paths, nil
}

// Attach puts a secret under a rotation policy, if the identity may rotate it.
func (s *Session) Attach(ctx context.Context, policyID, path string) (*vaultapi.RotationAssignment, error) {
	got, err := s.rotation.Attach(ctx, policyID, path)
	return got, s.noted(err)
}

// EndGrace moves the end of a previous version.
func (s *Session) EndGrace(ctx context.Context, policyID, path string, g vaultapi.RotationGrace) (*vaultapi.RotationAssignment, error) {
	got, err := s.rotation.Grace(ctx, policyID, path, g)
	return got, s.noted(err)
}

// Rotate rotates secrets of a rotation policy now.
func (s *Session) Rotate(ctx context.Context, policyID string, r vaultapi.PolicyRotation) ([]vaultapi.RotationHistoryItem, error) {
	got, err := s.rotation.RotatePolicy(ctx, policyID, r)
	return got, s.noted(err)
}
