package authn

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/client-go/rest"

	"github.com/scailabs/scaivault/server/fault"
)

// A stand-in that speaks the API server's wire protocol; test/integration asks a real one.
func standIn(t *testing.T, answer http.HandlerFunc) *TokenReview {
	t.Helper()
	api := httptest.NewServer(answer)
	t.Cleanup(api.Close)
	r, err := NewTokenReviewFor(&rest.Config{Host: api.URL})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestTokenReviewAsksForOurAudience(t *testing.T) {
	var asked authenticationv1.TokenReview
	r := standIn(t, func(w http.ResponseWriter, q *http.Request) {
		if q.Method != http.MethodPost || q.URL.Path != "/apis/authentication.k8s.io/v1/tokenreviews" {
			t.Errorf("asked %s %s", q.Method, q.URL.Path)
		}
		if err := json.NewDecoder(q.Body).Decode(&asked); err != nil {
			t.Error(err)
		}
		asked.Status = authenticationv1.TokenReviewStatus{
			Authenticated: true, Audiences: asked.Spec.Audiences,
			User: authenticationv1.UserInfo{Username: "system:serviceaccount:billing:app", UID: "u1", Groups: []string{groupServiceAccounts}},
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_ = json.NewEncoder(w).Encode(asked)
	})
	got, err := r.Review(t.Context(), "the-token", Audience)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ServiceAccount{Namespace: "billing", Name: "app", UID: "u1"}, got); d != "" {
		t.Error(d)
	}
	if asked.Spec.Token != "the-token" || !cmp.Equal(asked.Spec.Audiences, []string{Audience}) {
		t.Errorf("asked for %+v", asked.Spec)
	}
}

// What the API server says of a request may quote it; neither answer nor log may.
func TestTokenReviewFailuresSayNothingOfTheToken(t *testing.T) {
	for _, status := range []int{http.StatusForbidden, http.StatusInternalServerError, http.StatusBadRequest, http.StatusOK} {
		r := standIn(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = w.Write([]byte("cannot decode the-token"))
		})
		got, err := r.Review(t.Context(), "the-token", Audience)
		wantCode(t, err, fault.CodeUnavailable)
		if got != (ServiceAccount{}) || strings.Contains(err.Error(), "the-token") {
			t.Errorf("status %d: %+v, %v", status, got, err)
		}
	}
	gone, err := NewTokenReviewFor(&rest.Config{Host: "http://127.0.0.1:1"})
	if err != nil {
		t.Fatal(err)
	}
	_, err = gone.Review(t.Context(), "the-token", Audience)
	wantCode(t, err, fault.CodeUnavailable)
}

func TestTokenReviewNeedsACluster(t *testing.T) {
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	if _, err := NewTokenReview(""); err == nil || !strings.Contains(err.Error(), "kubeconfig") {
		t.Errorf("error is %v", err)
	}
	if _, err := NewTokenReview("/nowhere/kubeconfig"); err == nil || !strings.Contains(err.Error(), "/nowhere/kubeconfig") {
		t.Errorf("error is %v", err)
	}
}
