package webhooks

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	// lookEvery is how often tenants with webhooks, and the ends of their logs, are looked for unasked.
	lookEvery = time.Second
	// breath lets a busy tenant's events gather, so that one transaction serves many.
	breath = 5 * time.Millisecond
	// busyPause comes before another look while another replica dispatches.
	busyPause = 20 * time.Millisecond

	runEvents = 200
)

// Run turns events into deliveries, and keeps the depth of the queue as a metric, until ctx ends. Every replica runs
// it. It returns nil: failures are logged and tried again.
func (s *Service) Run(ctx context.Context) error {
	var followers sync.WaitGroup
	defer followers.Wait()
	followed := map[string]context.CancelFunc{}
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		wake := s.DB.Wake(wakeChannel)
		if err := s.supervise(ctx, followed, &followers); err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "webhooks wait for the database", "error", err)
		}
		timer.Reset(lookEvery)
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-timer.C:
		}
	}
}

// supervise has a follower for each tenant that has webhooks, and for no other.
func (s *Service) supervise(ctx context.Context, followed map[string]context.CancelFunc, followers *sync.WaitGroup) error {
	tenants, err := s.tenants(ctx, `SELECT DISTINCT tenant FROM webhooks WHERE enabled = 1`)
	if err != nil {
		return err
	}
	have := map[string]bool{}
	for _, tenant := range tenants {
		have[tenant] = true
		if followed[tenant] != nil {
			continue
		}
		own, cancel := context.WithCancel(ctx)
		followed[tenant] = cancel
		followers.Go(func() { s.follow(own, tenant) })
	}
	for tenant, cancel := range followed {
		if !have[tenant] {
			cancel()
			delete(followed, tenant)
		}
	}
	return s.measure(ctx)
}

func (s *Service) tenants(ctx context.Context, query string) ([]string, error) {
	rows, err := s.DB.Query(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("tenants: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []string
	for rows.Next() {
		var tenant string
		if err := rows.Scan(&tenant); err != nil {
			return nil, fmt.Errorf("tenants: %w", err)
		}
		all = append(all, tenant)
	}
	return all, rows.Err()
}

// follow turns the events of one tenant into deliveries as they come.
func (s *Service) follow(ctx context.Context, tenant string) {
	watch := s.Events.Watch(tenant)
	defer watch.Close()
	timer := time.NewTimer(lookEvery)
	defer timer.Stop()
	for ctx.Err() == nil {
		grown := watch.Grown() // taken before looking, so that nothing is missed between
		pause, err := s.turn(ctx, tenant)
		if err != nil && ctx.Err() == nil {
			s.Log.WarnContext(ctx, "events wait to be delivered", "tenant", tenant, "error", err)
			pause = lookEvery
		}
		timer.Reset(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-grown:
			timer.Reset(min(pause, breath))
			select {
			case <-ctx.Done():
			case <-timer.C:
			}
		}
	}
}

// turn looks at one run of the log, for all webhooks of the tenant that are behind. It tells when to look again.
func (s *Service) turn(ctx context.Context, tenant string) (time.Duration, error) {
	end, err := s.Events.End(ctx, tenant)
	if err != nil {
		return 0, err
	}
	behind, err := scanWebhooks(s.DB.Query(ctx, selectBehind, tenant, end))
	if err != nil || len(behind) == 0 {
		return lookEvery, err
	}
	from := behind[0].position
	for _, w := range behind {
		from = min(from, w.position)
	}
	run, err := s.Events.After(ctx, tenant, from, runEvents)
	if err != nil || len(run) == 0 {
		return lookEvery, err
	}
	plans, err := s.plans(ctx, behind, run)
	if err != nil {
		return 0, err
	}
	mine, err := s.carryOut(ctx, tenant, plans)
	switch {
	case !mine:
		return busyPause, err
	case run[len(run)-1].Position < end:
		return 0, err
	}
	return lookEvery, err
}
