package contract

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/server"
)

const token = "contract-token"

// start runs the composed server on the embedded database and gives its base URL.
func start(t *testing.T, change func(*server.Config)) string {
	t.Helper()
	c := server.Config{Dev: true, DevToken: token, Listen: "127.0.0.1:0", Version: "contract", Stderr: os.Stderr, LogLevel: "error", LogFormat: "text"}
	if change != nil {
		change(&c)
	}
	s, err := server.New(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the server ended with %v", err)
		}
	})
	base := "http://" + s.Addr().String()
	waitReady(t, base)
	return base
}

func waitReady(t *testing.T, base string) {
	t.Helper()
	deadline, tick := time.After(time.Minute), time.NewTicker(20*time.Millisecond)
	defer tick.Stop()
	for {
		if resp, err := http.Get(base + "/v1/health/ready"); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal("the server is not ready after a minute")
		}
	}
}

// The operator's account of the stand-in cluster below.
const operatorAccount = "scaivault-system/scaivault-operator"

// cluster is a stand-in for a Kubernetes API server: it answers TokenReviews and vouches for the operator. The real
// one is in test/integration.
func cluster(t *testing.T) (kubeconfig string) {
	t.Helper()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		namespace, name, _ := strings.Cut(operatorAccount, "/")
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(map[string]any{
			"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview",
			"status": map[string]any{
				"authenticated": true, "audiences": []string{"scaivault"},
				"user": map[string]any{
					"username": "system:serviceaccount:" + namespace + ":" + name, "uid": "u-1",
					"groups": []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"},
				},
			},
		})
	}))
	t.Cleanup(api.Close)
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}],`+
		`"contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"current-context":"x"}`, api.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig
}

// workloadToken looks like the operator's ServiceAccount token; only the stand-in cluster vouches for it.
func workloadToken() string {
	part := func(v any) string {
		raw, _ := json.Marshal(v)
		return base64.RawURLEncoding.EncodeToString(raw)
	}
	return part(map[string]any{"alg": "RS256", "typ": "JWT"}) + "." + part(map[string]any{
		"iss": "https://kubernetes.default.svc.cluster.local", "aud": []string{"scaivault"},
		"sub": "system:serviceaccount:" + strings.ReplaceAll(operatorAccount, "/", ":"),
		"exp": time.Now().Add(time.Hour).Unix(),
	}) + "." + base64.RawURLEncoding.EncodeToString([]byte("signature"))
}
