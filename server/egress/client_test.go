package egress_test

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server/egress"
)

func TestWhatIsPublic(t *testing.T) {
	for text, want := range map[string]bool{
		"93.184.216.34": true, "1.1.1.1": true, "2606:4700::1111": true, "::ffff:93.184.216.34": true,
		"64:ff9b::5db8:d822": true, // NAT64 of 93.184.216.34

		"127.0.0.1": false, "127.255.0.3": false, "0.0.0.0": false, "10.1.2.3": false, "172.31.255.1": false,
		"192.168.0.1": false, "169.254.169.254": false, "100.100.100.200": false, "192.0.0.192": false,
		"168.63.129.16": false, "224.0.0.1": false, "255.255.255.255": false, "198.18.0.1": false, "192.88.99.1": false,

		"::": false, "::1": false, "fe80::1": false, "fe80::1%eth0": false, "fc00::1": false, "fd00:ec2::254": false,
		"ff02::1": false, "::ffff:127.0.0.1": false, "::ffff:169.254.169.254": false, "::127.0.0.1": false,
		"64:ff9b::7f00:1": false, "64:ff9b::a9fe:a9fe": false, "64:ff9b::a00:1": false, "64:ff9b:1::7f00:1": false,
		"2002:7f00:1::": false, "2002:a9fe:a9fe::1": false, "2001:0:4136:e378:8000:63bf:3fff:fdd2": false, "2001:db8::1": false,
		"fec0::1": false, "100::1": false,
	} {
		if got := egress.Public(netip.MustParseAddr(text)); got != want {
			t.Errorf("%s: public is %v, want %v", text, got, want)
		}
	}
	if egress.Public(netip.Addr{}) {
		t.Error("no address is public")
	}
}

func TestURLs(t *testing.T) {
	strict, open := egress.New(egress.Options{}), egress.New(egress.Options{AllowPrivate: true})
	for raw, rule := range map[string]string{
		"https://receiver.example.org/hook?x=1": "",
		"https://receiver.example.org:8443":     "",
		"https://example.org.":                  "",
		"https://[2606:4700::1111]:443/":        "",
		"https://hooks":                         "",

		"http://receiver.example.org/":       "https://",
		"ftp://receiver.example.org/":        "https://",
		"HTTPS:receiver.example.org":         "absolute",
		"//receiver.example.org/":            "https://",
		"https:///hook":                      "absolute",
		"/hook":                              "absolute",
		"":                                   "absolute",
		"https://user@receiver.example.org/": "user",
		"https://receiver.example.org@169.254.169.254": "user",
		"https://receiver.example.org/#x":              "fragment",
		"https://receiver.example.org/#":               "fragment",
		"https://receiver.example.org:0/":              "port",
		"https://receiver.example.org:65536/":          "port",
		"https://receiver.example.org:/":               "port",
		"https://receiver.example.org:x/":              "absolute",
		"https://169.254.169.254/latest/":              "not public",
		"https://[::ffff:127.0.0.1]/":                  "not public",
		"https://[fe80::1%25eth0]/":                    "not public",
		"https://[::1]:8443/":                          "not public",
		"https://2130706433/":                          "host",
		"https://127.1/":                               "host",
		"https://0x7f.0.0.1/":                          "host",
		"https://0x7f000001/":                          "host",
		"https://0177.0.0.1/":                          "host",
		"https://127.0.0.1./":                          "host",
		"https://a b/":                                 "absolute",
		"https://ⓔxample.org/":                         "host",
		"https://a..b/":                                "host",
		"https://a\\@b/":                               "absolute",
		"https://" + strings.Repeat("a", 2048):         "2048",
	} {
		err := strict.CheckURL(raw)
		if rule == "" && err != nil || rule != "" && (err == nil || !strings.Contains(err.Error(), rule)) {
			t.Errorf("%q: %v, want %q", raw, err, rule)
		}
	}
	for _, raw := range []string{"http://10.0.0.1:8080/", "https://localhost/", "https://127.0.0.1/"} {
		if err := open.CheckURL(raw); err != nil {
			t.Errorf("%s where private receivers are allowed: %v", raw, err)
		}
	}
}

// answers gives a name another meaning each time; the last one stays.
type answers struct {
	mu    sync.Mutex
	asked int
	of    [][]netip.Addr
}

func (a *answers) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := min(a.asked, len(a.of)-1)
	a.asked++
	return a.of[i], nil
}

func addrs(texts ...string) []netip.Addr {
	all := make([]netip.Addr, len(texts))
	for i, text := range texts {
		all[i] = netip.MustParseAddr(text)
	}
	return all
}

var errDialled = errors.New("dialled")

// A name that is public when it is judged and private a moment later leads to the address that was judged.
func TestRebindingDialsWhatWasJudged(t *testing.T) {
	names := &answers{of: [][]netip.Addr{addrs("93.184.216.34"), addrs("127.0.0.1")}}
	c := egress.New(egress.Options{Resolver: names})
	var dialled []string
	c.Dialled(func(_ context.Context, _, address string) (net.Conn, error) {
		dialled = append(dialled, address)
		return nil, errDialled
	})
	if _, err := c.Post(t.Context(), "https://rebind.example.org/", http.Header{}, nil); !errors.Is(err, errDialled) {
		t.Errorf("first call: %v", err)
	}
	if len(dialled) != 1 || dialled[0] != "93.184.216.34:443" || names.asked != 1 {
		t.Errorf("dialled %v after %d lookups", dialled, names.asked)
	}
	if _, err := c.Post(t.Context(), "https://rebind.example.org/", http.Header{}, nil); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("second call: %v", err)
	}
	if len(dialled) != 1 {
		t.Errorf("dialled %v", dialled)
	}
}

// One private address among public ones refuses the name.
func TestMixedAnswersAreRefused(t *testing.T) {
	c := egress.New(egress.Options{Resolver: &answers{of: [][]netip.Addr{addrs("93.184.216.34", "169.254.169.254")}}})
	c.Dialled(func(context.Context, string, string) (net.Conn, error) {
		t.Error("dialled")
		return nil, errDialled
	})
	if _, err := c.Post(t.Context(), "https://mixed.example.org/", http.Header{}, nil); !errors.Is(err, egress.ErrRefused) {
		t.Errorf("got %v", err)
	}
}

// receiver counts the requests that reach it.
func receiver(t *testing.T, answer http.HandlerFunc) (url string, roots *x509.CertPool, reached *atomic.Int64) {
	reached = &atomic.Int64{}
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		reached.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	roots = x509.NewCertPool()
	roots.AddCert(s.Certificate())
	return s.URL, roots, reached
}

// The socket itself is judged as well: a connection that got past everything else is not made.
func TestLoopbackIsNotReached(t *testing.T) {
	url, roots, reached := receiver(t, func(http.ResponseWriter, *http.Request) {})
	port := url[strings.LastIndex(url, ":"):]
	c := egress.New(egress.Options{Roots: roots, Resolver: &answers{of: [][]netip.Addr{addrs("::ffff:127.0.0.1")}}})
	for _, to := range []string{url, "https://receiver.example.org" + port, "https://localhost" + port} {
		if _, err := c.Post(t.Context(), to, http.Header{}, nil); !errors.Is(err, egress.ErrRefused) {
			t.Errorf("%s: %v", to, err)
		}
	}
	if reached.Load() != 0 {
		t.Error("the receiver was reached")
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	second, _, reached := receiver(t, func(http.ResponseWriter, *http.Request) {})
	for _, to := range []string{second, "http://169.254.169.254/latest/meta-data/"} {
		url, roots, _ := receiver(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, to, http.StatusFound) })
		c := egress.New(egress.Options{AllowPrivate: true, Roots: roots})
		status, err := c.Post(t.Context(), url, http.Header{}, nil)
		if status != http.StatusFound || err != nil {
			t.Errorf("got %d, %v", status, err)
		}
		c.Close()
	}
	if reached.Load() != 0 {
		t.Error("the redirect was followed")
	}
}

// A receiver that sends without end is left after a bound.
func TestEndlessAnswer(t *testing.T) {
	sent := make(chan int64, 1)
	url, roots, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		var n int64
		chunk := make([]byte, 32<<10)
		for n < 10<<30 {
			k, err := w.Write(chunk)
			n += int64(k)
			if err != nil {
				break
			}
		}
		sent <- n
	})
	c := egress.New(egress.Options{AllowPrivate: true, Roots: roots})
	defer c.Close()
	if status, err := c.Post(t.Context(), url, http.Header{}, nil); status != 200 || err != nil {
		t.Errorf("got %d, %v", status, err)
	}
	if n := <-sent; n > 32<<20 {
		t.Errorf("the receiver could send %d bytes", n)
	}
}

func TestEndlessHeader(t *testing.T) {
	url, roots, _ := receiver(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Long", strings.Repeat("a", 1<<20))
	})
	c := egress.New(egress.Options{AllowPrivate: true, Roots: roots})
	defer c.Close()
	if status, err := c.Post(t.Context(), url, http.Header{}, nil); err == nil {
		t.Errorf("got %d", status)
	}
}

func TestReceiverThatHangs(t *testing.T) {
	over := make(chan struct{})
	url, roots, _ := receiver(t, func(http.ResponseWriter, *http.Request) { <-over })
	t.Cleanup(func() { close(over) })
	c := egress.New(egress.Options{AllowPrivate: true, Roots: roots})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Post(ctx, url, http.Header{}, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A certificate of an authority that is not known is not accepted, and a proxy of the environment is not used.
func TestTransport(t *testing.T) {
	url, _, reached := receiver(t, func(http.ResponseWriter, *http.Request) {})
	t.Setenv("HTTPS_PROXY", "http://127.0.0.1:1")
	c := egress.New(egress.Options{AllowPrivate: true})
	defer c.Close()
	var unknown x509.UnknownAuthorityError
	if _, err := c.Post(t.Context(), url, http.Header{}, nil); !errors.As(err, &unknown) {
		t.Errorf("got %v", err)
	}
	if reached.Load() != 0 {
		t.Error("the receiver got a request")
	}
}
