package authn

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/scailabs/scaivault/server/fault"
)

// reviewTimeout bounds one review; a caller may retry sooner than a slow API server answers.
const reviewTimeout = 10 * time.Second

// groupServiceAccounts is the group that Kubernetes gives to every ServiceAccount and to nobody else.
const groupServiceAccounts = "system:serviceaccounts"

// TokenReview reviews tokens at a Kubernetes API server.
type TokenReview struct{ api rest.Interface }

// NewTokenReview connects to a cluster: through kubeconfig, or as the pod that it runs in when that is "".
// It needs only the right to create TokenReviews (ClusterRole system:auth-delegator).
func NewTokenReview(kubeconfig string) (*TokenReview, error) {
	config, err := clusterConfig(kubeconfig)
	if err != nil {
		return nil, err
	}
	return NewTokenReviewFor(config)
}

// NewTokenReviewFor connects with a configuration at hand.
func NewTokenReviewFor(config *rest.Config) (*TokenReview, error) {
	scheme := runtime.NewScheme()
	if err := authenticationv1.AddToScheme(scheme); err != nil {
		return nil, fmt.Errorf("types of authentication.k8s.io: %w", err)
	}
	metav1.AddToGroupVersion(scheme, schema.GroupVersion{Version: "v1"})
	c := rest.CopyConfig(config)
	c.GroupVersion = &authenticationv1.SchemeGroupVersion
	c.APIPath = "/apis"
	c.NegotiatedSerializer = serializer.NewCodecFactory(scheme).WithoutConversion()
	c.UserAgent = "scaivault-server"
	c.Timeout = reviewTimeout
	c.QPS = -1 // the reviews under way are bounded by the service; a cold operator brings 500 accounts at once
	api, err := rest.RESTClientFor(c)
	if err != nil {
		return nil, fmt.Errorf("connect to the Kubernetes API: %w", err)
	}
	return &TokenReview{api: api}, nil
}

func clusterConfig(kubeconfig string) (*rest.Config, error) {
	if kubeconfig == "" {
		config, err := rest.InClusterConfig()
		if err != nil {
			return nil, fmt.Errorf("not in a pod and no kubeconfig given: %w", err)
		}
		return config, nil
	}
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("kubeconfig %s: %w", kubeconfig, err)
	}
	return config, nil
}

// Review implements Reviewer.
func (t *TokenReview) Review(ctx context.Context, token, audience string) (ServiceAccount, error) {
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	ask := &authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token, Audiences: []string{audience}}}
	var answer authenticationv1.TokenReview
	result := t.api.Post().Resource("tokenreviews").Body(ask).Do(ctx)
	var status int
	if err := result.StatusCode(&status).Into(&answer); err != nil {
		return ServiceAccount{}, fault.Unavailable(fmt.Errorf("token review: status %d: %s", status, reviewProblem(status, err)), "the cluster that issued the token does not answer now")
	}
	return judge(answer.Status, audience)
}

// reviewProblem keeps what an API server says of a request, which may quote it, out of logs.
func reviewProblem(status int, err error) string {
	if status == 0 {
		return fmt.Sprintf("no answer (%T)", err)
	}
	return http.StatusText(status)
}

// judge believes a review only if it says yes, without an error, for our audience, of a ServiceAccount.
func judge(s authenticationv1.TokenReviewStatus, audience string) (ServiceAccount, error) {
	switch {
	case !s.Authenticated || s.Error != "":
		return ServiceAccount{}, notAWorkload("the cluster does not vouch for subject_token")
	case !slices.Contains(s.Audiences, audience):
		return ServiceAccount{}, notAWorkload("the cluster does not vouch for subject_token with audience %s", audience)
	case !slices.Contains(s.User.Groups, groupServiceAccounts):
		return ServiceAccount{}, notAWorkload("subject_token is not that of a ServiceAccount")
	}
	namespace, name, ok := parseUsername(s.User.Username)
	if !ok {
		return ServiceAccount{}, notAWorkload("subject_token is not that of a ServiceAccount")
	}
	return ServiceAccount{Namespace: namespace, Name: name, UID: s.User.UID}, nil
}
