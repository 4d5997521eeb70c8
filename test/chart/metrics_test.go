package chart_test

import (
	"crypto/tls"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/scailabs/scaivault/test/controlplane"
)

// metrics holds docs/ops/metrics.md against what a server and an operator really expose: each metric of the page is
// there with its type and labels, and none of ours is missing from the page.
func (w *world) metrics(admin string) {
	w.Helper()
	w.limited(admin)
	page, err := os.ReadFile(filepath.Join(controlplane.Root(), "docs/ops/metrics.md"))
	w.must(err)
	_, text, _ := strings.Cut(string(page), "\n## Vault")
	vault, operator, _ := strings.Cut(text, "\n## Operator")
	reader := w.token("--identity", "sa:prometheus", "--scopes", "metrics:read")
	w.same("vault", vault, w.scrape("https://"+w.node.of("server")[0].address("https")+"/v1/metrics", reader))
	w.same("operator", operator, w.scrape("http://"+w.node.of("operator")[0].address("metrics")+"/metrics", ""))
	if status := w.status(http.MethodGet, w.node.vault.url()+"/v1/health/detailed", reader); status != http.StatusForbidden {
		w.Errorf("a scraper's token opens more than metrics: %d", status)
	}
}

// limited makes calls until one is too many, so that there is a refusal to count.
func (w *world) limited(admin string) {
	w.Helper()
	for range 3 {
		if w.status(http.MethodPost, w.node.vault.url()+"/v1/policies/test", admin) == http.StatusTooManyRequests {
			return
		}
	}
	w.Fatal("no call was refused")
}

// documented are a part's rows: type and labels by name.
func documented(part string) map[string]string {
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| ([a-z]+) \\| ([^|]*)\\|")
	all := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(part, -1) {
		labels := strings.Split(strings.NewReplacer("`", "", " ", "").Replace(m[3]), ",")
		slices.Sort(labels)
		all[m[1]] = m[2] + " " + strings.Join(labels, ",")
	}
	return all
}

// exposed is the same of what was scraped. A series may lack a label.
func exposed(family *dto.MetricFamily) string {
	labels := map[string]bool{}
	for _, m := range family.GetMetric() {
		for _, l := range m.GetLabel() {
			labels[l.GetName()] = true
		}
	}
	return strings.ToLower(family.GetType().String()) + " " + strings.Join(slices.Sorted(maps.Keys(labels)), ",")
}

func (w *world) same(part, page string, scraped map[string]*dto.MetricFamily) {
	w.Helper()
	want := documented(page)
	if len(want) < 10 {
		w.Fatalf("docs/ops/metrics.md: %d metrics of the %s", len(want), part)
	}
	for name, is := range want {
		family := scraped[name]
		if family == nil {
			w.Errorf("%s: %s is documented and not exposed", part, name)
			continue
		}
		if got := exposed(family); got != is {
			w.Errorf("%s: %s is documented as %q and exposed as %q", part, name, is, got)
		}
	}
	for name := range scraped {
		if strings.HasPrefix(name, "scaivault_") && want[name] == "" {
			w.Errorf("%s: %s is exposed and not documented", part, name)
		}
	}
}

func (w *world) scrape(url, token string) map[string]*dto.MetricFamily {
	w.Helper()
	resp := w.request(http.MethodGet, url, token)
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		w.Fatalf("%s: %d", url, resp.StatusCode)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	all, err := parser.TextToMetricFamilies(resp.Body)
	w.must(err)
	return all
}

func (w *world) status(method, url, token string) int {
	w.Helper()
	resp := w.request(method, url, token)
	_ = resp.Body.Close()
	return resp.StatusCode
}

func (w *world) request(method, url, token string) *http.Response {
	w.Helper()
	req, err := http.NewRequestWithContext(w.Context(), method, url, nil)
	w.must(err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	hc := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}} // our own processes on loopback
	resp, err := hc.Do(req)
	if err != nil {
		w.Fatal(fmt.Errorf("scrape %s: %w", url, err))
	}
	return resp
}
