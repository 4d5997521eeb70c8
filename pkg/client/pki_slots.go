package client

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

const pkiRequests = "/pki/ca-requests"

// Slots returns all slots of an authority, the oldest first.
func (p *PKI) Slots(ctx context.Context, ca string) (*vaultapi.AuthoritySlotList, error) {
	return onID[vaultapi.AuthoritySlotList](ctx, p.c, pkiAuthorities, ca, "/slots", request{method: http.MethodGet, repeat: true})
}

// PrepareSlot makes the next key of an authority, which does not sign yet.
func (p *PKI) PrepareSlot(ctx context.Context, ca string, w vaultapi.AuthoritySlotWrite) (*vaultapi.AuthoritySlot, error) {
	return onID[vaultapi.AuthoritySlot](ctx, p.c, pkiAuthorities, ca, "/slots", request{method: http.MethodPost, body: w})
}

// ActivateSlot has a prepared slot sign from now on.
func (p *PKI) ActivateSlot(ctx context.Context, ca, slot string) (*vaultapi.AuthoritySlot, error) {
	return p.onSlot(ctx, ca, slot, "/activate", nil)
}

// RetireSlot ends the trust in a slot that signs no longer, and destroys its key.
func (p *PKI) RetireSlot(ctx context.Context, ca, slot string, w vaultapi.AuthoritySlotRetire) (*vaultapi.AuthoritySlot, error) {
	return p.onSlot(ctx, ca, slot, "/retire", w)
}

func (p *PKI) onSlot(ctx context.Context, ca, slot, suffix string, body any) (*vaultapi.AuthoritySlot, error) {
	escaped, err := escapedID(slot)
	if err != nil {
		return nil, err
	}
	post := request{method: http.MethodPost, body: body, repeat: true}
	return onID[vaultapi.AuthoritySlot](ctx, p.c, pkiAuthorities, ca, "/slots/"+escaped+suffix, post)
}

// Bundle returns the certificates that who trusts an authority trusts.
func (p *PKI) Bundle(ctx context.Context, ca string) (*vaultapi.AuthorityBundle, error) {
	return onID[vaultapi.AuthorityBundle](ctx, p.c, pkiAuthorities, ca, "/bundle", request{method: http.MethodGet, repeat: true})
}

// AuthorityRequests returns one page of the keys that wait for a certificate from outside, by name.
func (p *PKI) AuthorityRequests(ctx context.Context, limit int, cursor string) (*vaultapi.AuthorityRequestList, error) {
	return pkiPage[vaultapi.AuthorityRequestList](ctx, p.c, pkiRequests, limit, cursor)
}

// RequestAuthority makes a key for an authority that one outside of the vault signs.
func (p *PKI) RequestAuthority(ctx context.Context, w vaultapi.AuthorityRequestWrite) (*vaultapi.AuthorityRequest, error) {
	return on[vaultapi.AuthorityRequest](ctx, p.c, request{method: http.MethodPost, path: pkiRequests, body: w})
}

// AuthorityRequest returns a key that waits, by its id or its name.
func (p *PKI) AuthorityRequest(ctx context.Context, id string) (*vaultapi.AuthorityRequest, error) {
	return onID[vaultapi.AuthorityRequest](ctx, p.c, pkiRequests, id, "", request{method: http.MethodGet, repeat: true})
}

// InstallAuthority gives a key that waits its certificate. The request is gone then.
func (p *PKI) InstallAuthority(ctx context.Context, id string, w vaultapi.AuthorityInstall) (*vaultapi.Authority, error) {
	return onID[vaultapi.Authority](ctx, p.c, pkiRequests, id, "/certificate", request{method: http.MethodPost, body: w})
}

// CancelAuthorityRequest forgets a key that waits.
func (p *PKI) CancelAuthorityRequest(ctx context.Context, id string) error {
	return sendID(ctx, p.c, pkiRequests, id, "", request{method: http.MethodDelete})
}
