package vault

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const (
	// Audience is the audience of every token that is minted for the vault. An admission policy of the
	// install keeps the operator to it and to tokenSeconds.
	Audience = "scaivault"

	tokenSeconds int64 = 600

	// renewPart of a token's life is left when it is renewed.
	renewPart = 5
)

// exchanger gives a bearer token for a workload's token; *client.Auth fits.
type exchanger interface {
	Exchange(context.Context, vaultapi.ExchangeRequest) (*vaultapi.ExchangeResponse, error)
}

// bearer keeps one bearer token fresh. Whoever finds it old renews it; others wait for him.
type bearer struct {
	mint  func(context.Context) (string, error) // the workload's own token
	vault exchanger
	now   func() time.Time

	mu       sync.Mutex
	token    string
	identity string
	until    time.Time
}

// get returns a token that lives on for a while, and whose it is.
func (b *bearer) get(ctx context.Context) (token, identity string, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token != "" && b.now().Before(b.until) {
		return b.token, b.identity, nil
	}
	subject, err := b.mint(ctx)
	if err != nil {
		return "", "", err
	}
	got, err := b.vault.Exchange(ctx, vaultapi.ExchangeRequest{SubjectToken: subject, Audience: Audience})
	if err != nil {
		return "", "", err
	}
	life := time.Duration(got.ExpiresIn) * time.Second
	b.token, b.identity, b.until = got.AccessToken, got.IdentityID, b.now().Add(life-life/renewPart)
	return b.token, b.identity, nil
}

// drop forgets a token that the vault refused, unless it was renewed meanwhile.
func (b *bearer) drop(token string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.token == token {
		b.token = ""
	}
}

// reset forgets the token.
func (b *bearer) reset() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.token = ""
}

// MintFunc gives a workload's own token.
type MintFunc func(context.Context) (string, error)

// FileToken reads a projected token; the kubelet renews the file.
func FileToken(path string) MintFunc {
	return func(context.Context) (string, error) {
		raw, err := os.ReadFile(path)
		if err != nil {
			return "", fmt.Errorf("token file: %w", err)
		}
		return strings.TrimSpace(string(raw)), nil
	}
}

// Minter mints tokens of ServiceAccounts by TokenRequest.
type Minter struct {
	Accounts corev1client.ServiceAccountsGetter
}

// For mints for one ServiceAccount. With a UID, a token of another ServiceAccount of that name is refused.
func (m Minter) For(namespace, name string, uid types.UID) MintFunc {
	return func(ctx context.Context) (string, error) {
		seconds := tokenSeconds
		got, err := m.Accounts.ServiceAccounts(namespace).CreateToken(ctx, name, &authenticationv1.TokenRequest{
			Spec: authenticationv1.TokenRequestSpec{Audiences: []string{Audience}, ExpirationSeconds: &seconds},
		}, metav1.CreateOptions{})
		switch {
		case apierrors.IsNotFound(err):
			return "", missingAccount(namespace, name)
		case apierrors.IsForbidden(err):
			return "", reconcile.Retrying(v1alpha1.ReasonRetrying, fmt.Errorf("may not mint a token of ServiceAccount %s/%s: %w; give the operator create on serviceaccounts/token there, as its install does", namespace, name, err))
		case err != nil:
			return "", fmt.Errorf("mint a token of ServiceAccount %s/%s: %w", namespace, name, err)
		}
		if uid != "" && tokenUID(got.Status.Token) != uid {
			return "", reconcile.Again(errors.New("the ServiceAccount was made anew since it was read"))
		}
		return got.Status.Token, nil
	}
}

func missingAccount(namespace, name string) error {
	return reconcile.Waiting(v1alpha1.ReasonServiceAccountMissing, time.Minute,
		fmt.Errorf("ServiceAccount %s/%s does not exist; create it or set spec.serviceAccountName", namespace, name))
}

// tokenUID reads the ServiceAccount's UID from a token that the API server just gave us.
func tokenUID(token string) types.UID {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return ""
	}
	raw, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return ""
	}
	var claims struct {
		Kubernetes struct {
			Account struct {
				UID types.UID `json:"uid"`
			} `json:"serviceaccount"`
		} `json:"kubernetes.io"`
	}
	if json.Unmarshal(raw, &claims) != nil {
		return ""
	}
	return claims.Kubernetes.Account.UID
}
