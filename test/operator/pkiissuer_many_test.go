package operator_test

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	cmapi "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/test/operator"
)

// usualCertificates is how many there are where BENCH_CERTIFICATES does not say: cert-manager takes its time.
const usualCertificates = 60

// Many Certificates at once: none is lost, none is signed twice, and every Secret has a certificate of its own. With
// BENCH_CERTIFICATES=1000 it is the row of docs/benchmarks.md.
func TestManyCertificates(t *testing.T) {
	n := usualCertificates
	if text := os.Getenv("BENCH_CERTIFICATES"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil || n < 1 {
			t.Fatalf("BENCH_CERTIFICATES=%s is no number of certificates", text)
		}
	}
	w := certified(running(t))
	w.mayIssue()
	w.issuerIs(w.issuer("web"), "True/Issuing")
	w.forgetCalls()
	start := time.Now()
	for i := range n {
		w.certificate(fmt.Sprintf("c%04d", i), byIssuer("PKIIssuer", "web"))
	}
	made := time.Since(start)
	w.within(soon+time.Duration(n)*time.Second, "Certificates that are Ready", strconv.Itoa(n), func() string { return strconv.Itoa(w.readyCertificates()) })
	took := time.Since(start)
	p50, p99 := w.signatures()
	t.Logf("bench: %d Certificates through a PKIIssuer: all Ready after %s (made in %s) | from approved to signed: p50 %s, p99 %s", n,
		took.Round(100*time.Millisecond), made.Round(100*time.Millisecond), p50, p99)

	serials := map[string]bool{}
	for i := range n {
		serials[w.serial(fmt.Sprintf("c%04d-tls", i))] = true
	}
	if len(serials) != n {
		t.Errorf("%d Secrets have %d certificates", n, len(serials))
	}
	requests := w.answered() // cert-manager makes one anew now and then, whose key it changed meanwhile
	if got := w.certificatesInVault(); got != len(requests) || got < n {
		t.Errorf("the vault made %d certificates for %d requests of %d Certificates", got, len(requests), n)
	}
	for name, writes := range requests {
		if writes != 1 {
			t.Errorf("the status of %s was written %d times", name, writes)
		}
	}
}

// answered are the requests whose status the operator wrote, and how often it did.
func (w *world) answered() map[string]int {
	all := map[string]int{}
	for _, c := range w.api.Calls(operator.Call.Writes) {
		if name, ok := strings.CutSuffix(c.Path, "/status"); ok && strings.Contains(name, "/certificaterequests/") {
			all[path.Base(name)]++
		}
	}
	return all
}

// readyCertificates counts the Certificates of the test's namespace that are Ready.
func (w *world) readyCertificates() int {
	w.Helper()
	var l cmapi.CertificateList
	if err := w.kube.List(w.Context(), &l, kube.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	n := 0
	for _, c := range l.Items {
		for _, k := range c.Status.Conditions {
			if k.Type == cmapi.CertificateConditionReady && k.Status == "True" {
				n++
			}
		}
	}
	return n
}

// signatures tells how long requests waited from their approval to their certificate. Kubernetes keeps whole seconds.
func (w *world) signatures() (p50, p99 time.Duration) {
	w.Helper()
	var l cmapi.CertificateRequestList
	if err := w.kube.List(w.Context(), &l, kube.InNamespace(w.ns)); err != nil {
		w.Fatal(err)
	}
	var all []time.Duration
	for _, r := range l.Items {
		at := map[cmapi.CertificateRequestConditionType]time.Time{}
		for _, c := range r.Status.Conditions {
			if c.Status == "True" {
				at[c.Type] = c.LastTransitionTime.Time
			}
		}
		all = append(all, at[cmapi.CertificateRequestConditionReady].Sub(at[cmapi.CertificateRequestConditionApproved]))
	}
	slices.Sort(all)
	return all[len(all)/2], all[len(all)*99/100]
}

// certificatesInVault counts all certificates that the vault made.
func (w *world) certificatesInVault() int {
	w.Helper()
	n, filter := 0, client.CertificateFilter{IncludeRevoked: true, Limit: 1000}
	for {
		page, err := w.admin.PKI.Certificates(w.Context(), filter)
		if err != nil {
			w.Fatal(err)
		}
		n += len(page.Certificates)
		if page.Cursor == nil || *page.Cursor == "" {
			return n
		}
		filter.Cursor = *page.Cursor
	}
}
