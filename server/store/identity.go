package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"strconv"
	"strings"
)

// Identity tells installations apart, and one installation before a restore from the same after it.
type Identity struct {
	InstanceID   string // "inst_" and 26 lower-case base32 characters
	RestoreEpoch int64  // grows with every restore from a backup
}

const (
	rememberMeta = "INSERT INTO meta (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING"
	recallMeta   = "SELECT value FROM meta WHERE name = $1"
)

// establish reads the identity, after giving one to a database that has none. Of several processes that do
// so at once the first wins and all read the same.
func establish(ctx context.Context, db *sql.DB) (Identity, error) {
	id, err := remembered(ctx, db, "instance_id", "inst_"+strings.ToLower(rand.Text()))
	if err != nil {
		return Identity{}, err
	}
	epoch, err := remembered(ctx, db, "restore_epoch", "0")
	if err != nil {
		return Identity{}, err
	}
	n, err := strconv.ParseInt(epoch, 10, 64)
	if err != nil {
		return Identity{}, fmt.Errorf("restore_epoch: %w", err)
	}
	return Identity{InstanceID: id, RestoreEpoch: n}, nil
}

func remembered(ctx context.Context, db *sql.DB, name, first string) (string, error) {
	var value string
	if _, err := db.ExecContext(ctx, rememberMeta, name, first); err != nil {
		return "", fmt.Errorf("write %s: %w", name, err)
	}
	if err := db.QueryRowContext(ctx, recallMeta, name).Scan(&value); err != nil {
		return "", fmt.Errorf("read %s: %w", name, err)
	}
	return value, nil
}
