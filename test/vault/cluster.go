package vault

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// OperatorAccount is the ServiceAccount that the servers of this package trust as the operator's.
const OperatorAccount = "scaivault-system/scaivault-operator"

// Cluster is a stand-in for a Kubernetes API server: it answers TokenReviews about the tokens that it issued
// itself, by the rules of a real one, and vouches for nothing else.
type Cluster struct {
	Kubeconfig string

	mu     sync.Mutex
	issued map[string]workload
	asked  int
}

// workload is what an issued token says.
type workload struct {
	account  string
	audience any
}

// NewCluster starts a cluster that ends with tb.
func NewCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{issued: map[string]workload{}, Kubeconfig: filepath.Join(tb.TempDir(), "kubeconfig")}
	api := httptest.NewServer(http.HandlerFunc(c.review))
	tb.Cleanup(api.Close)
	config := map[string]any{
		"apiVersion": "v1", "kind": "Config", "current-context": "x",
		"clusters": []any{map[string]any{"name": "c", "cluster": map[string]any{"server": api.URL}}},
		"users":    []any{map[string]any{"name": "u", "user": map[string]any{}}},
		"contexts": []any{map[string]any{"name": "x", "context": map[string]any{"cluster": "c", "user": "u"}}},
	}
	raw, err := json.Marshal(config)
	if err == nil {
		err = os.WriteFile(c.Kubeconfig, raw, 0o600)
	}
	if err != nil {
		tb.Fatal(err)
	}
	return c
}

// Issue makes a token of a ServiceAccount, <namespace>/<name>, for an audience: a string or a list of them.
func (c *Cluster) Issue(account string, audience any) string {
	token := JWT(map[string]any{"alg": "RS256", "typ": "JWT"}, Claims(account, audience))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.issued[token] = workload{account: account, audience: audience}
	return token
}

// Asked is how many reviews the cluster was asked for.
func (c *Cluster) Asked() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.asked
}

// Claims are those of a ServiceAccount's token.
func Claims(account string, audience any) map[string]any {
	return map[string]any{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": audience, "jti": rand.Text(),
		"sub": "system:serviceaccount:" + strings.ReplaceAll(account, "/", ":"), "exp": time.Now().Add(time.Hour).Unix(),
	}
}

// JWT puts a token together; its signature is one only in looks.
func JWT(header, claims map[string]any) string {
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(header) + "." + part(claims) + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
}

// review answers as a real API server does: for the audiences asked for that the token has.
func (c *Cluster) review(w http.ResponseWriter, r *http.Request) {
	var ask struct {
		Spec struct {
			Token     string   `json:"token"`
			Audiences []string `json:"audiences"`
		} `json:"spec"`
	}
	_ = json.NewDecoder(r.Body).Decode(&ask) // what is no review vouches for nobody
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked++
	known, ok := c.issued[ask.Spec.Token]
	matching := slices.DeleteFunc(ask.Spec.Audiences, func(a string) bool { return !known.holds(a) })
	status := map[string]any{"authenticated": false, "error": "invalid bearer token"}
	if ok && len(matching) > 0 {
		namespace, name, _ := strings.Cut(known.account, "/")
		status = map[string]any{"authenticated": true, "audiences": matching, "user": map[string]any{
			"username": "system:serviceaccount:" + namespace + ":" + name, "uid": "uid-" + namespace + "-" + name,
			"groups": []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
		}}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_ = json.NewEncoder(w).Encode(map[string]any{"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "status": status})
}

func (w workload) holds(audience string) bool {
	switch a := w.audience.(type) {
	case string:
		return a == audience
	case []string:
		return slices.Contains(a, audience)
	}
	return false
}
