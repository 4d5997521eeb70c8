package vault

import (
	"context"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	testvault "github.com/scailabs/scaivault/test/vault"
)

// told is a sink that remembers the paths it was told of.
type told struct {
	mu    sync.Mutex
	ready bool
	paths []string
}

func (s *told) Secret(_ context.Context, path string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths = append(s.paths, path)
}

func (s *told) Everything(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ready = true
	return nil
}

func (*told) Policies(context.Context, []string) {}
func (*told) Replaced(context.Context)           {}

func (s *told) is(ok func(*told) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return ok(s)
}

// The feed of a real server tells of a secret when it expires, once, and not before: what reads it runs again.
func TestFeedTellsOfAnExpiry(t *testing.T) {
	s := testvault.Compose(t, "sqlite")
	s.Start()
	c, err := client.New(client.Options{BaseURL: s.URL, Token: testvault.Token})
	if err != nil {
		t.Fatal(err)
	}
	sink := &told{}
	f := &Feed{
		Vault: c, Refused: func() {}, Owner: "k8s:home/Operator/scaivault-system/operator/1",
		Guard: NewGuard(c.System, &memoryPin{}, time.Now), Absences: NewAbsences(), Sinks: []Sink{sink}, Log: logr.Discard(),
		Connected: prometheus.NewGauge(prometheus.GaugeOpts{Name: "connected"}),
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- f.Start(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	s.Eventually("the feed follows", func() bool { return sink.is(func(s *told) bool { return s.ready }) })

	write := vaultapi.WriteRequest{Data: []byte(`{"k":"1"}`), Options: vaultapi.WriteOptions{ExpiresIn: "2h"}}
	for _, path := range []string{"app/soon", "app/soon-too"} {
		if _, err := c.Secrets.Write(t.Context(), path, write); err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"app/soon", "app/soon-too"} // written
	s.Eventually("both are told of", func() bool { return sink.is(func(s *told) bool { return slices.Equal(sorted(s.paths), want) }) })
	s.Shift(3 * time.Hour)
	want = []string{"app/soon", "app/soon", "app/soon-too", "app/soon-too"} // and expired
	s.Eventually("both are told of again", func() bool { return sink.is(func(s *told) bool { return slices.Equal(sorted(s.paths), want) }) })
	for _, path := range []string{"app/soon", "app/soon-too"} {
		if _, err := c.Secrets.Read(t.Context(), path, client.ReadOptions{}); !vaultapi.IsNotFound(err) {
			t.Errorf("%s has expired, and reading it gives %v", path, err)
		}
	}
}

func sorted(s []string) []string { return slices.Sorted(slices.Values(s)) }
