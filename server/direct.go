package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/scailabs/scaivault/server/audit"
	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
)

// directAdmin opens the database for an administrator's command. Its audit entries are durable like all others;
// the next server signs them. It needs no root key, because it touches no value.
func directAdmin(ctx context.Context, c Config) (*Admin, error) {
	if c.DataDir == "" && c.DatabaseURL == "" {
		return nil, &ConfigError{Problems: []string{"nothing says whose tokens: give --data-dir DIR (DATA_DIR) or DATABASE_URL, as for the server"}}
	}
	db, err := store.Open(ctx, store.Options{DataDir: c.DataDir, DatabaseURL: c.DatabaseURL})
	if errors.Is(err, store.ErrInUse) {
		return nil, fmt.Errorf("a server holds %s and its admin socket does not answer; is it ready yet? %w", c.DataDir, err)
	}
	if err != nil {
		return nil, err
	}
	trail := audit.New(db, audit.Options{Keys: &keyBox{}})
	g := &guard.Guard{DB: db, Audit: trail, Events: silent{}, Now: time.Now}
	service := authn.New(authn.Options{DB: db, Guard: g, Edge: audit.NewEdge(trail, time.Now)})
	return &Admin{client: &http.Client{Transport: inProcess{administration(service)}}, close: db.Close}, nil
}

// silent emits nothing: tokens and trust rules have no events.
type silent struct{}

func (silent) Emit(*store.Tx, ...guard.Event) error { return nil }
