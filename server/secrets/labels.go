package secrets

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// Labels returns what webhooks filter events of a secret by, as it is now, deleted or not; found is false for one that
// is gone for good.
func (s *Service) Labels(ctx context.Context, tenant, path string) (secretType string, tags []string, found bool, err error) {
	var h head
	err = s.db.QueryRow(ctx, `SELECT `+headColumns+` FROM secrets h WHERE h.tenant = $1 AND h.path = $2`, tenant, path).Scan(h.dest()...)
	if errors.Is(err, sql.ErrNoRows) {
		return "", nil, false, nil
	}
	if err != nil {
		return "", nil, false, fmt.Errorf("labels of %s: %w", path, err)
	}
	info, err := h.info("")
	return info.SecretType, info.Tags, true, err
}
