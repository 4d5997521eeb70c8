// Package server puts the vault together: configuration, the order in which things open and end, and the
// background work between. It decides nothing itself.
package server

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/scailabs/scaivault/server/authn"
)

// Limits of a connection. Reading and writing must outlast the longest poll (60 s, contract section 13): the read
// deadline goes on while an answer is waited for.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 90 * time.Second
	writeTimeout      = 90 * time.Second
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 32 << 10
	drainWithin       = 20 * time.Second
)

// Server is one vault process.
type Server struct {
	config   Config
	log      *slog.Logger
	now      func() time.Time
	started  time.Time
	listener net.Listener
	http     *http.Server
	cert     *certificate // nil without TLS
	clusters []authn.Cluster
	waiting  *waiting
	front    atomic.Pointer[http.Handler]
	cleanup  func() error // removes temporary data
}

// DrawDevToken makes a token for a development server.
func DrawDevToken() string { return "dev_" + strings.ToLower(rand.Text()) }

// New checks the configuration, reads the TLS files, and takes the address; it does not touch the database.
// Errors: *ConfigError.
func New(ctx context.Context, c Config) (*Server, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	log, err := c.logger()
	if err != nil {
		return nil, err
	}
	now := c.clock()
	s := &Server{config: c, log: log, now: now, started: now(), waiting: newWaiting(now), cleanup: func() error { return nil }}
	if s.clusters, err = c.trustedClusters(); err != nil {
		return nil, err
	}
	if c.TLSCertFile != "" {
		if s.cert, err = newCertificate(c.TLSCertFile, c.TLSKeyFile, log); err != nil {
			return nil, err
		}
	}
	if err := s.temporaryData(); err != nil {
		return nil, err
	}
	var listen net.ListenConfig
	if s.listener, err = listen.Listen(ctx, "tcp", c.listen()); err != nil {
		return nil, errors.Join(fmt.Errorf("listen: %w", err), s.cleanup())
	}
	s.show(s.waiting)
	s.http = s.httpServer()
	return s, nil
}

// temporaryData gives a development server without a data directory one that ends with it.
func (s *Server) temporaryData() error {
	if !s.config.Dev || s.config.DataDir != "" || s.config.DatabaseURL != "" {
		return nil
	}
	dir, err := os.MkdirTemp("", "scaivault-dev-")
	if err != nil {
		return fmt.Errorf("temporary data directory: %w", err)
	}
	s.config.DataDir = dir
	s.cleanup = func() error { return os.RemoveAll(dir) }
	return nil
}

func (s *Server) httpServer() *http.Server {
	h := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*s.front.Load()).ServeHTTP(w, r) }),
		ReadHeaderTimeout: readHeaderTimeout, ReadTimeout: readTimeout, WriteTimeout: writeTimeout,
		IdleTimeout: idleTimeout, MaxHeaderBytes: maxHeaderBytes,
		ErrorLog: slog.NewLogLogger(s.log.Handler(), slog.LevelDebug), // broken handshakes of scanners
	}
	if s.cert != nil {
		h.TLSConfig = s.cert.config()
	}
	return h
}

// show has h answer from now on.
func (s *Server) show(h http.Handler) { s.front.Store(&h) }

// Addr is the address that the server listens on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Run serves until ctx ends, then shuts down in order. Health is answered at once; the rest when the database and
// the key chain are open. It returns nil after an orderly end.
func (s *Server) Run(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, s.cleanup()) }()
	served := make(chan error, 1)
	go func() { served <- s.serve() }()
	s.log.Info("listening", "address", s.Addr().String(), "tls", s.cert != nil, "version", s.config.Version)
	core, err := s.open(ctx)
	if core == nil {
		return errors.Join(err, s.drain(ctx, served))
	}
	running, err := s.start(ctx, core)
	if err == nil {
		s.show(core.api)
		s.log.Info("ready", "engine", string(core.db.Engine()), "instance_id", core.db.Identity().InstanceID)
		select {
		case <-ctx.Done():
		case err = <-served:
			err = fmt.Errorf("serve: %w", err)
			served <- nil // for drain
		}
	}
	core.release()
	return errors.Join(err, s.drain(ctx, served), running.stop(ctx), core.db.Close())
}

func (s *Server) serve() error {
	if s.cert != nil {
		return s.http.ServeTLS(s.listener, "", "")
	}
	return s.http.Serve(s.listener)
}

// drain stops accepting and lets requests end for a while.
func (s *Server) drain(ctx context.Context, served <-chan error) error {
	s.log.Info("shutting down")
	limit, cancel := context.WithTimeout(context.WithoutCancel(ctx), drainWithin)
	defer cancel()
	err := s.http.Shutdown(limit)
	if errors.Is(err, context.DeadlineExceeded) {
		s.log.Warn("some requests did not end in time and are cut off", "after", drainWithin.String())
		err = s.http.Close()
	}
	if end := <-served; end != nil && !errors.Is(end, http.ErrServerClosed) {
		err = errors.Join(err, fmt.Errorf("serve: %w", end))
	}
	return err
}
