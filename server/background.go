package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/scailabs/scaivault/server/audit"
)

const flushWithin = 5 * time.Second

// running is the background work of a server; it ends in two steps, because the audit trail signs last what the
// others still record.
type running struct {
	work, trail *errgroup.Group
	endWork     context.CancelFunc
	endTrail    context.CancelFunc
	admin       *http.Server // nil without a data directory
	edge        *audit.Edge
}

// start begins the background work. It goes on after ctx ends, until stop.
func (s *Server) start(ctx context.Context, c *core) (*running, error) {
	ctx = context.WithoutCancel(ctx)
	r := &running{work: &errgroup.Group{}, trail: &errgroup.Group{}, edge: c.edge}
	var work, trail context.Context
	work, r.endWork = context.WithCancel(ctx)
	trail, r.endTrail = context.WithCancel(ctx)
	r.trail.Go(func() error { return c.trail.Run(trail) })
	r.work.Go(func() error { return c.events.Run(work) })
	r.work.Go(func() error { return c.authn.Run(work) })
	r.work.Go(func() error { return c.jobs.Run(work) })
	r.work.Go(func() error { return c.webhooks.Run(work) })
	r.work.Go(func() error { return c.seen.Run(work) })
	if s.cert != nil {
		r.work.Go(func() error { return s.cert.watch(work) })
	}
	return r, s.serveAdmin(ctx, c, r)
}

// serveAdmin answers the commands of an administrator on this machine.
func (s *Server) serveAdmin(ctx context.Context, c *core, r *running) error {
	if s.config.DataDir == "" {
		return nil
	}
	l, err := listenAdmin(ctx, s.config.DataDir)
	if err != nil {
		return err
	}
	r.admin = &http.Server{Handler: administration(c.authn), ReadTimeout: adminTimeout, WriteTimeout: adminTimeout, MaxHeaderBytes: maxHeaderBytes}
	r.work.Go(func() error {
		if err := r.admin.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			return fmt.Errorf("admin socket: %w", err)
		}
		return nil
	})
	return nil
}

// stop ends the background work: last uses and folded entries are written, then the trail is signed to its end.
func (r *running) stop(ctx context.Context) error {
	var err error
	if r.admin != nil {
		err = r.admin.Close()
	}
	r.endWork()
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushWithin)
	defer cancel()
	err = errors.Join(err, r.work.Wait(), r.edge.Close(last))
	r.endTrail()
	return errors.Join(err, r.trail.Wait())
}
