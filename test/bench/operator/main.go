// Command operator measures the operator on a real control plane: a cold start over N VaultSecrets whose Secrets do
// not exist, idling, changes seen by an independent watch, and one path that 1 000 objects use.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"time"
)

// sharers is how many objects use the one path of the fan-out row.
const sharers = 1000

type plan struct {
	objects int           // VaultSecrets with a path of their own
	changes int           // of the latency row
	every   time.Duration // between two changes
	idle    time.Duration
}

func main() {
	p := plan{}
	flag.IntVar(&p.objects, "objects", 2000, "VaultSecrets")
	flag.IntVar(&p.changes, "changes", 1000, "changes of the latency row")
	flag.DurationVar(&p.every, "every", 50*time.Millisecond, "time between two changes")
	flag.DurationVar(&p.idle, "idle", 30*time.Second, "how long to watch it idle")
	flag.Parse()
	if err := run(context.Background(), p); err != nil {
		fmt.Fprintln(os.Stderr, "bench operator:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, p plan) error {
	b, err := prepare(ctx)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.fill(ctx, p.objects); err != nil {
		return err
	}
	seen, err := b.watch(ctx)
	if err != nil {
		return err
	}
	fmt.Printf("| operator, %d VaultSecrets | value |\n|---|---|\n", p.objects)
	for _, row := range []func(context.Context, plan, *sightings) error{b.cold, b.quiet, b.follow, b.fanOut} {
		if err := row(ctx, p, seen); err != nil {
			return err
		}
	}
	return nil
}

// cold times the operator's start until every object's Secret is there.
func (b *bench) cold(ctx context.Context, p plan, seen *sightings) error {
	start := time.Now()
	if err := b.startOperator(); err != nil {
		return err
	}
	for i := range p.objects {
		if _, err := seen.wait(ctx, own(i), value(i, 0)); err != nil {
			return err
		}
	}
	fmt.Printf("| cold sync, operator's start to the last Secret | %.1f s |\n", time.Since(start).Seconds())
	fmt.Printf("| operator RSS after it | %d MiB |\n", b.operator.rss())
	return nil
}

// quiet counts what an idle operator does.
func (b *bench) quiet(ctx context.Context, p plan, _ *sightings) error {
	if err := b.settled(ctx, p.objects); err != nil {
		return err
	}
	before, cpu := b.versions(ctx), b.operator.cpu()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(p.idle):
	}
	used := b.operator.cpu() - cpu
	writes := changed(before, b.versions(ctx))
	fmt.Printf("| idle for %s: VaultSecrets and Secrets written | %d |\n", p.idle, writes)
	fmt.Printf("| idle for %s: share of a core | %.2f %% |\n", p.idle, 100*used.Seconds()/p.idle.Seconds())
	return nil
}

// follow changes one path after the other and times PUT's 200 to the watch event of an independent client.
func (b *bench) follow(ctx context.Context, p plan, seen *sightings) error {
	took := make([]time.Duration, 0, p.changes)
	tick := time.NewTicker(p.every)
	defer tick.Stop()
	acked := make([]time.Time, p.changes)
	for n := range p.changes {
		<-tick.C
		if err := b.write(ctx, own(n%p.objects), value(n%p.objects, n+1)); err != nil {
			return err
		}
		acked[n] = time.Now()
	}
	for n := range p.changes {
		at, err := seen.wait(ctx, own(n%p.objects), value(n%p.objects, n+1))
		if err != nil {
			return err
		}
		took = append(took, max(0, at.Sub(acked[n])))
	}
	slices.Sort(took)
	fmt.Printf("| %d changes, one each %s: PUT's 200 to the watch event, p50 | %d ms |\n", p.changes, p.every, took[len(took)/2].Milliseconds())
	fmt.Printf("| the same, p99 | %d ms |\n", took[len(took)*99/100].Milliseconds())
	fmt.Printf("| the same, slowest | %d ms |\n", took[len(took)-1].Milliseconds())
	return nil
}

// fanOut changes the one path that many objects use.
func (b *bench) fanOut(ctx context.Context, _ plan, seen *sightings) error {
	if err := b.share(ctx, seen); err != nil {
		return err
	}
	start := time.Now()
	if err := b.write(ctx, "shared", "second"); err != nil {
		return err
	}
	for i := range sharers {
		if _, err := seen.wait(ctx, sharer(i), "second"); err != nil {
			return err
		}
	}
	fmt.Printf("| one path used by %d objects: change to the last Secret | %.2f s |\n", sharers, time.Since(start).Seconds())
	fmt.Printf("| operator RSS at the end | %d MiB |\n", b.operator.rss())
	return nil
}
