package charttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/promql/promqltest"
	"sigs.k8s.io/yaml"
)

const runbooks = "https://github.com/scailabs/scaivault/blob/main/docs/ops/runbooks/"

// alert is one rule of the PrometheusRule.
type alert struct {
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	For         string            `json:"for"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

func alerts(t *testing.T) []alert {
	t.Helper()
	rule := mustRender(t, system, values{"monitoring": values{"alerts": values{"enabled": true}}})["PrometheusRule/scaivault"]
	raw, err := json.Marshal(dig(rule.Object, "spec", "groups"))
	if err != nil {
		t.Fatal(err)
	}
	var groups []struct {
		Name  string  `json:"name"`
		Rules []alert `json:"rules"`
	}
	if err := yaml.UnmarshalStrict(raw, &groups, yaml.DisallowUnknownFields); err != nil {
		t.Fatal(err)
	}
	var all []alert
	for _, g := range groups {
		all = append(all, g.Rules...)
	}
	return all
}

// metric is what docs/ops/metrics.md says of one; test/chart holds the page against what is really exposed.
type metric struct{ kind, labels string }

func documented(t *testing.T) map[string]metric {
	t.Helper()
	page, err := os.ReadFile(filepath.Join(root, "docs/ops/metrics.md"))
	if err != nil {
		t.Fatal(err)
	}
	row := regexp.MustCompile("(?m)^\\| `([a-z_]+)` \\| (counter|gauge|histogram|summary) \\| ([^|]*)\\|")
	all := map[string]metric{}
	for _, m := range row.FindAllStringSubmatch(string(page), -1) {
		all[m[1]] = metric{kind: m[2], labels: m[3]}
	}
	if len(all) < 15 {
		t.Fatalf("docs/ops/metrics.md names %d metrics", len(all))
	}
	return all
}

// scraped are the labels that Prometheus itself adds.
var scraped = []string{"__name__", "job", "instance", "pod", "le"}

// known fails for each metric of an expression that the page does not name, and each label that it does not have.
func known(t *testing.T, where, expr string, page map[string]metric) {
	t.Helper()
	expr = strings.NewReplacer("$__rate_interval", "5m", "$__range", "6h").Replace(expr)
	e, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	seen := 0
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		v, ok := n.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		seen++
		name := v.Name
		m, ok := page[name]
		if !ok {
			name = regexp.MustCompile(`_(bucket|sum|count)$`).ReplaceAllString(name, "")
			if m, ok = page[name]; !ok || m.kind != "histogram" {
				t.Errorf("%s: there is no metric %s", where, v.Name)
			}
		}
		for _, l := range v.LabelMatchers {
			if !slices.Contains(scraped, l.Name) && !strings.Contains(m.labels, "`"+l.Name+"`") {
				t.Errorf("%s: %s has no label %s", where, v.Name, l.Name)
			}
		}
		return nil
	})
	if seen == 0 {
		t.Errorf("%s looks at no metric", where)
	}
}

// Every alert looks at metrics that exist, says how grave it is, and has a page that tells what to do.
func TestAlerts(t *testing.T) {
	page := documented(t)
	pages := map[string]bool{}
	for _, a := range alerts(t) {
		known(t, a.Alert, a.Expr, page)
		if !slices.Contains([]string{"critical", "warning", "info"}, a.Labels["severity"]) || a.For == "" || a.Annotations["summary"] == "" {
			t.Errorf("%s: severity %q, for %q, summary %q", a.Alert, a.Labels["severity"], a.For, a.Annotations["summary"])
		}
		if a.Annotations["runbook_url"] != runbooks+a.Alert+".md" {
			t.Errorf("%s: runbook %s", a.Alert, a.Annotations["runbook_url"])
		}
		pages[a.Alert+".md"] = true
		text, err := os.ReadFile(filepath.Join(root, "docs/ops/runbooks", a.Alert+".md"))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, part := range []string{"# " + a.Alert + "\n", "\n## What it means\n", "\n## How to look\n", "\n## What to do\n"} {
			if !strings.Contains("\n"+string(text), part) {
				t.Errorf("%s.md has no %q", a.Alert, strings.TrimSpace(part))
			}
		}
	}
	all, err := os.ReadDir(filepath.Join(root, "docs/ops/runbooks"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if !pages[f.Name()] && f.Name() != "README.md" {
			t.Errorf("docs/ops/runbooks/%s is of no alert", f.Name())
		}
	}
}

// Every panel of the dashboard looks at metrics that exist.
func TestDashboard(t *testing.T) {
	all := mustRender(t, system, values{"monitoring": values{"dashboard": values{"enabled": true}}})
	text := dig(all["ConfigMap/scaivault-dashboard"].Object, "data", "scaivault.json").(string)
	var board struct {
		UID    string `json:"uid"`
		Panels []struct {
			ID      int    `json:"id"`
			Type    string `json:"type"`
			Title   string `json:"title"`
			Targets []struct {
				Expr string `json:"expr"`
			} `json:"targets"`
		} `json:"panels"`
	}
	if err := json.Unmarshal([]byte(text), &board); err != nil {
		t.Fatal(err)
	}
	page, ids, panels := documented(t), map[int]bool{}, 0
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("two panels %d", p.ID)
		}
		ids[p.ID] = true
		if p.Type == "row" {
			continue
		}
		panels++
		if len(p.Targets) == 0 {
			t.Errorf("%s shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			known(t, p.Title, target.Expr, page)
		}
	}
	if panels < 15 || board.UID == "" {
		t.Errorf("%d panels, uid %q", panels, board.UID)
	}
}

// series are samples each 30 s over an hour, in the notation of Prometheus' own tests.
type series []string

// Each alert's condition holds where it should and does not where it should not, judged by Prometheus' own engine
// an hour after the first sample.
func TestAlertsTell(t *testing.T) {
	healthy := series{
		`scaivault_db_pool_size{instance="a"} 8x120`, `scaivault_db_pool_available{instance="a"} 7x120`,
		`scaivault_requests_total{path_category="secrets",status="200"} 0+300x120`,
		`scaivault_requests_total{path_category="system",status="200"} 0+6x120`,
		`scaivault_request_duration_seconds_bucket{path_category="secrets",le="0.005"} 0+300x120`,
		`scaivault_request_duration_seconds_bucket{path_category="secrets",le="+Inf"} 0+300x120`,
		`scaivault_request_duration_seconds_bucket{path_category="subscriptions",le="0.005"} 0x120`,
		`scaivault_request_duration_seconds_bucket{path_category="subscriptions",le="60"} 0+1x120`,
		`scaivault_request_duration_seconds_bucket{path_category="subscriptions",le="+Inf"} 0+1x120`,
		`scaivault_db_latency_seconds{instance="a"} 0.004x120`, `scaivault_db_write_queue_depth{instance="a"} 3x120`,
		`scaivault_audit_index_lag 20x120`, `scaivault_rate_limit_hits_total{category="read_secrets"} 5x120`,
		`scaivault_tls_certificate_expiry_timestamp_seconds 20000000x120`,
		`scaivault_operator_event_feed_connected{instance="standby"} 0x120`, `scaivault_operator_event_feed_connected{instance="leader"} 1x120`,
		`leader_election_master_status{name="scaivault-operator",instance="standby"} 0x120`,
		`leader_election_master_status{name="scaivault-operator",instance="leader"} 1x120`,
		`scaivault_operator_objects{kind="VaultSecret",ready="True",reason="Synced"} 40x120`,
		`scaivault_operator_last_success_timestamp_seconds{kind="VaultSecret",instance="leader"} 0+30x120`,
		`scaivault_operator_last_success_timestamp_seconds{kind="VaultSecret",instance="standby"} 0x120`,
		`scaivault_operator_last_success_timestamp_seconds{kind="VaultPolicy",instance="leader"} 0x120`, // there is none
		`workqueue_depth{name="vaultsecret",instance="leader"} 2x120`, `workqueue_depth{name="vaultpolicy",instance="leader"} 0x120`,
		`controller_runtime_reconcile_errors_total{controller="vaultsecret"} 3x120`,
	}
	ill := map[string]series{ // in place of the healthy series of the same metric
		"ScaiVaultServerUnreachable":    {`scaivault_db_pool_size{instance="a"} 8x60`},
		"ScaiVaultServerErrors":         {`scaivault_requests_total{path_category="secrets",status="200"} 0+300x120`, `scaivault_requests_total{path_category="secrets",status="503"} 0+6x120`},
		"ScaiVaultServerSlow":           {`scaivault_request_duration_seconds_bucket{path_category="secrets",le="0.5"} 0+200x120`, `scaivault_request_duration_seconds_bucket{path_category="secrets",le="1"} 0+300x120`, `scaivault_request_duration_seconds_bucket{path_category="secrets",le="+Inf"} 0+300x120`},
		"ScaiVaultDatabaseSlow":         {`scaivault_db_latency_seconds{instance="a"} 0.4x120`},
		"ScaiVaultWritesQueued":         {`scaivault_db_write_queue_depth{instance="a"} 500x120`},
		"ScaiVaultConnectionsExhausted": {`scaivault_db_pool_available{instance="a"} 7x120`, `scaivault_db_pool_available{instance="b"} 0x120`},
		"ScaiVaultAuditIndexBehind":     {`scaivault_audit_index_lag 600000x120`},
		"ScaiVaultRateLimited":          {`scaivault_rate_limit_hits_total{category="read_secrets"} 0+30x120`},
		"ScaiVaultCertificateExpiring":  {`scaivault_tls_certificate_expiry_timestamp_seconds 1000000x120`},
		"ScaiVaultOperatorUnreachable":  {`scaivault_operator_event_feed_connected{instance="leader"} 1x60`},
		"ScaiVaultNoLeader":             {`leader_election_master_status{name="scaivault-operator",instance="standby"} 0x120`},
		"ScaiVaultEventFeedDown":        {`scaivault_operator_event_feed_connected{instance="leader"} 0x120`},
		"ScaiVaultVaultReplaced":        {`scaivault_operator_objects{kind="VaultSecret",ready="False",reason="VaultReplaced"} 40x120`},
		"ScaiVaultObjectsNotReady":      {`scaivault_operator_objects{kind="VaultSecret",ready="False",reason="AccessDenied"} 1x120`},
		"ScaiVaultReconcileStuck":       {`scaivault_operator_last_success_timestamp_seconds{kind="VaultSecret",instance="leader"} 0+30x60 1800x60`},
		"ScaiVaultReconcileErrors":      {`controller_runtime_reconcile_errors_total{controller="vaultsecret"} 0+3x120`},
	}
	rules := map[string]string{}
	for _, a := range alerts(t) {
		rules[a.Alert] = a.Expr
		if ill[a.Alert] == nil {
			t.Errorf("no case in which %s fires", a.Alert)
		}
	}
	for name, bad := range ill {
		t.Run(name, func(t *testing.T) {
			if rules[name] == "" {
				t.Fatal("no such alert")
			}
			if n := matches(t, rules[name], healthy); n != 0 {
				t.Errorf("fires where all is well: %d", n)
			}
			if n := matches(t, rules[name], replaced(healthy, bad)); n != 1 {
				t.Errorf("want it once, got it %d times", n)
			}
		})
	}
	idle := replaced(healthy, series{`scaivault_db_latency_seconds{instance="a"} 0.4x120`, `scaivault_requests_total{path_category="system",status="200"} 0+6x120`})
	if matches(t, rules["ScaiVaultDatabaseSlow"], idle) != 0 {
		t.Error("one slow commit long ago is told of for ever")
	}
	if never := replaced(healthy, series{`workqueue_depth{name="vaultpolicy",instance="leader"} 1x120`}); matches(t, rules["ScaiVaultReconcileStuck"], never) != 1 {
		t.Error("a kind that never succeeded is not told of")
	}
}

// replaced is all, with bad in place of every series of the same metrics.
func replaced(all, bad series) series {
	name := func(s string) string { return s[:strings.IndexAny(s, "{ ")] }
	out := slices.Clone(bad)
	for _, s := range all {
		if !slices.ContainsFunc(bad, func(b string) bool { return name(b) == name(s) }) {
			out = append(out, s)
		}
	}
	return out
}

// matches counts what an expression finds after an hour.
func matches(t *testing.T, expr string, of series) int {
	t.Helper()
	storage := promqltest.LoadedStorage(t, "load 30s\n  "+strings.Join(of, "\n  ")+"\n")
	t.Cleanup(func() { _ = storage.Close() })
	engine := promqltest.NewTestEngine(t, false, 5*time.Minute, promqltest.DefaultMaxSamplesPerQuery)
	q, err := engine.NewInstantQuery(t.Context(), storage, nil, expr, time.Unix(0, 0).Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	found := q.Exec(t.Context())
	if found.Err != nil {
		t.Fatal(found.Err)
	}
	v, err := found.Vector()
	if err != nil {
		t.Fatal(err)
	}
	return len(v)
}
