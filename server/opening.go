package server

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/scailabs/scaivault/server/authn"
	"github.com/scailabs/scaivault/server/seal"
	"github.com/scailabs/scaivault/server/store"
)

// retryEvery is how often the server tries again what keeps it from being ready: a root key that is still to be
// mounted, a database that still starts.
const retryEvery = 2 * time.Second

// open opens the database and the key chain, for as long as it takes. Until the right root key is there it changes
// nothing in the database but its schema. The core is nil when ctx ended before.
func (s *Server) open(ctx context.Context) (*core, error) {
	db, err := s.openStore(ctx)
	if db == nil {
		return nil, err
	}
	core := newCore(db, s)
	said := ""
	for {
		err := s.unlock(ctx, core)
		if err == nil {
			return core, nil
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			s.log.Error("not ready: the key chain cannot be opened; nothing in the database is touched", "error", err)
		}
		if !pause(ctx) {
			return nil, db.Close()
		}
	}
}

// openStore waits for PostgreSQL. What is wrong with the embedded database does not pass by itself.
func (s *Server) openStore(ctx context.Context) (*store.DB, error) {
	said := ""
	for {
		db, err := store.Open(ctx, s.config.store(s))
		if err == nil {
			return db, nil
		}
		if s.config.DatabaseURL == "" || errors.Is(err, store.ErrNewer) {
			return nil, err
		}
		if text := err.Error(); text != said && ctx.Err() == nil {
			said = text
			s.log.Error("not ready: the database does not open; trying again", "error", err)
		}
		s.waiting.set(checkDatabase, "the database cannot be reached: see the server's log", false)
		if !pause(ctx) {
			return nil, nil
		}
	}
}

// unlock opens the key chain and makes the database agree with the start-up flags.
func (s *Server) unlock(ctx context.Context, c *core) error {
	empty, err := seal.Empty(ctx, c.db)
	if err != nil {
		s.waiting.set(checkDatabase, "the database cannot be read: see the server's log", false)
		return err
	}
	root, err := s.rootKey(empty)
	if err != nil {
		s.waiting.set(checkEncryption, "the root key is missing or damaged: see the server's log", empty)
		return err
	}
	keys, err := seal.Open(ctx, c.db, root)
	switch {
	case errors.Is(err, seal.ErrWrongRootKey):
		s.waiting.set(checkEncryption, "the root key is not the one of this database", false)
		return err
	case err != nil:
		s.waiting.set(checkEncryption, "the key chain cannot be read: see the server's log", false)
		return err
	}
	if err := c.finish(keys, s); err != nil {
		s.waiting.set(checkEncryption, "the server cannot be put together: see the server's log", false)
		return err
	}
	seed := authn.Seed{Home: s.config.KubernetesAuth, Operator: s.config.OperatorAccount}
	if err := c.authn.SeedTrust(ctx, seed); err != nil {
		s.waiting.set(checkDatabase, "the database cannot be written: see the server's log", false)
		return fmt.Errorf("trust by start-up flags: %w", err)
	}
	return nil
}

// rootKey reads the root key. A development server makes its own for a new database.
func (s *Server) rootKey(empty bool) (*seal.RootKey, error) {
	file := s.config.rootKeyFile()
	key, err := seal.LoadRootKey(file)
	if err == nil || !errors.Is(err, os.ErrNotExist) || !s.config.Dev || !empty {
		return key, err
	}
	if key, err = seal.NewRootKey(); err != nil {
		return nil, err
	}
	return key, key.Save(file)
}

// pause waits before another try; false when ctx ended.
func pause(ctx context.Context) bool {
	timer := time.NewTimer(retryEvery)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
