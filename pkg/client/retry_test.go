package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// script answers call after call and keeps the time of each.
type script struct {
	answers []answer
	at      []time.Duration
	start   time.Time
}

type answer struct {
	status     int
	retryAfter string
}

func (s *script) RoundTrip(r *http.Request) (*http.Response, error) {
	s.at = append(s.at, time.Since(s.start))
	a := s.answers[min(len(s.at), len(s.answers))-1]
	h := http.Header{}
	if a.retryAfter != "" {
		h.Set("Retry-After", a.retryAfter)
	}
	return &http.Response{StatusCode: a.status, Header: h, Body: io.NopCloser(strings.NewReader("{}")), Request: r}, nil
}

func TestRetries(t *testing.T) {
	read := func(ctx context.Context, c *client.Client) error {
		_, err := c.Secrets.Read(ctx, "a", client.ReadOptions{})
		return err
	}
	write := func(ctx context.Context, c *client.Client) error {
		_, err := c.Secrets.Write(ctx, "a", vaultapi.WriteRequest{Data: json.RawMessage(`{}`)})
		return err
	}
	cases := map[string]struct {
		call    func(context.Context, *client.Client) error
		answers []answer
		timeout time.Duration
		calls   int
		status  int // of the error; 0: none
		atLeast time.Duration
	}{
		"503 then success":            {read, []answer{{503, ""}, {200, ""}}, 0, 2, 0, 100 * time.Millisecond},
		"429 waits as told":           {read, []answer{{429, "7"}, {200, ""}}, 0, 2, 0, 7 * time.Second},
		"bounded":                     {read, []answer{{503, ""}}, 0, 4, 503, 700 * time.Millisecond},
		"too long a wait is told":     {read, []answer{{429, "3600"}}, 0, 1, 429, 0},
		"no wait beyond the deadline": {read, []answer{{429, "7"}}, 5 * time.Second, 1, 429, 0},
		"500 is not repeated":         {read, []answer{{500, ""}}, 0, 1, 500, 0},
		"404 is not repeated":         {read, []answer{{404, ""}}, 0, 1, 404, 0},
		"a write is not repeated":     {write, []answer{{503, ""}}, 0, 1, 503, 0},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := &script{answers: tc.answers, start: time.Now()}
				c := newClient(t, client.Options{BaseURL: "http://vault", HTTPClient: &http.Client{Transport: s}})
				ctx := t.Context()
				if tc.timeout > 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, tc.timeout)
					defer cancel()
				}
				err := tc.call(ctx, c)
				var failed *vaultapi.Error
				if errors.As(err, &failed); (tc.status == 0) != (err == nil) || failed != nil && failed.Status != tc.status {
					t.Errorf("error %v", err)
				}
				if len(s.at) != tc.calls {
					t.Errorf("%d calls, want %d", len(s.at), tc.calls)
				}
				if last := s.at[len(s.at)-1]; last < tc.atLeast || last > tc.atLeast*2+time.Second {
					t.Errorf("last call after %v, want about %v", last, tc.atLeast)
				}
			})
		})
	}
}

func TestCancelEndsTheWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{answers: []answer{{429, "30"}}, start: time.Now()}
		c := newClient(t, client.Options{BaseURL: "http://vault", HTTPClient: &http.Client{Transport: s}})
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		_, err := c.Auth.Whoami(ctx)
		if took := time.Since(s.start); took != time.Second || vaultapi.Code(err) == "" {
			t.Errorf("took %v, error %v", took, err)
		}
	})
}
