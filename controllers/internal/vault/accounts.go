package vault

import (
	"context"
	"fmt"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/pkg/client"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// listPage is the size of a page of paths; the vault allows 1000.
const listPage = 1000

// Session is the vault as one ServiceAccount sees it.
type Session struct {
	// Identity is who the vault says it is, such as sa:billing:billing-prod.
	Identity string
	secrets  *client.Secrets
	rotation *client.Rotation // nil where NewSession made it
	pki      *client.PKI      // likewise
	refused  func()           // the vault does not know the token any more
}

// NewSession is the vault as the token of a client sees it.
func NewSession(identity string, secrets *client.Secrets) *Session {
	return &Session{Identity: identity, secrets: secrets, refused: func() {}}
}

// Read reads one secret.
func (s *Session) Read(ctx context.Context, path string, o client.ReadOptions) (*vaultapi.Secret, error) {
	got, err := s.secrets.Read(ctx, path, o)
	return got, s.noted(err)
}

// BatchRead reads up to 100 secrets.
func (s *Session) BatchRead(ctx context.Context, b vaultapi.BatchRequest) (*vaultapi.BatchResponse, error) {
	got, err := s.secrets.BatchRead(ctx, b)
	return got, s.noted(err)
}

// Below lists the paths below a prefix that the identity may list: all, or limit and one more.
func (s *Session) Below(ctx context.Context, prefix string, limit int) ([]string, error) {
	var paths []string
	for item, err := range s.secrets.All(ctx, client.ListOptions{Prefix: prefix, Limit: min(limit+1, listPage)}) {
		if err != nil {
			return nil, s.noted(err)
		}
		if paths = append(paths, item.Path); len(paths) > limit {
			break
		}
	}
	return paths, nil
}

// MayList asks whether the identity may list below a prefix: an empty list does not tell. It asks for a name that
// nobody gives to a secret; that there is none is the answer of a vault that would have shown it.
func (s *Session) MayList(ctx context.Context, prefix string) error {
	_, err := s.secrets.ReadMetadata(ctx, prefix+"-")
	if IsMissing(err) {
		return nil
	}
	return s.noted(err)
}

func (s *Session) noted(err error) error {
	if vaultapi.IsUnauthenticated(err) {
		s.refused()
	}
	return err
}

// Accounts makes Sessions. It keeps one per ServiceAccount, by UID: one that was deleted and made anew is
// somebody else.
type Accounts struct {
	vault  *client.Client
	minter Minter
	cached kube.Reader // metadata of ServiceAccounts
	now    func() time.Time

	mu     sync.Mutex
	byUID  map[types.UID]*bearer
	byName map[types.NamespacedName]types.UID
}

// NewAccounts makes an empty cache of Sessions.
func NewAccounts(vault *client.Client, minter Minter, cached kube.Reader, now func() time.Time) *Accounts {
	return &Accounts{
		vault: vault, minter: minter, cached: cached, now: now,
		byUID: map[types.UID]*bearer{}, byName: map[types.NamespacedName]types.UID{},
	}
}

// Session returns the vault as a ServiceAccount of a namespace sees it.
func (a *Accounts) Session(ctx context.Context, namespace, name string) (*Session, error) {
	m := &metav1.PartialObjectMetadata{}
	m.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("ServiceAccount"))
	err := a.cached.Get(ctx, types.NamespacedName{Namespace: namespace, Name: name}, m)
	if apierrors.IsNotFound(err) {
		return nil, missingAccount(namespace, name)
	}
	if err != nil {
		return nil, fmt.Errorf("look at ServiceAccount %s/%s: %w", namespace, name, err)
	}
	b := a.bearer(types.NamespacedName{Namespace: namespace, Name: name}, m.UID)
	token, identity, err := b.get(ctx)
	if err != nil {
		return nil, exchangeFailed(err, namespace, name)
	}
	as := a.vault.WithToken(func(context.Context) (string, error) { return token, nil })
	return &Session{Identity: identity, secrets: as.Secrets, rotation: as.Rotation, pki: as.PKI, refused: func() { b.drop(token) }}, nil
}

func (a *Accounts) bearer(key types.NamespacedName, uid types.UID) *bearer {
	a.mu.Lock()
	defer a.mu.Unlock()
	if was := a.byName[key]; was != uid {
		delete(a.byUID, was)
		a.byName[key] = uid
	}
	b := a.byUID[uid]
	if b == nil {
		b = &bearer{mint: a.minter.For(key.Namespace, key.Name, uid), vault: a.vault.Auth, now: a.now}
		a.byUID[uid] = b
	}
	return b
}

// Forget drops what is kept of a ServiceAccount that was deleted.
func (a *Accounts) Forget(namespace, name string) {
	key := types.NamespacedName{Namespace: namespace, Name: name}
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.byUID, a.byName[key])
	delete(a.byName, key)
}
