package httpapi

import (
	"context"
	"net/http"

	"github.com/scailabs/scaivault/internal/certstatus"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/pki/revocation"
)

// Media types of lists, certificates and OCSP (RFC 5280, 4.2.1.13 and 4.2.2.1; RFC 6960, appendix A).
const (
	mediaCRL          = "application/pkix-crl"
	mediaCertificate  = "application/pkix-cert"
	mediaOCSPRequest  = "application/ocsp-request"
	mediaOCSPResponse = "application/ocsp-response"
)

type revocationHandlers struct{ service *revocation.Service }

// revocationRoutes are for everybody but the one that makes a list: whoever checks a certificate has no token.
func revocationRoutes(h revocationHandlers) []route {
	const one = "/v1/pki/ca/{id}"
	return []route{
		{method: http.MethodPost, pattern: one + "/crl", id: "generateRevocationList", summary: "Make an authority's revocation list anew",
			group: groupPKI, scope: revocation.ScopeAdmin, rate: ratePKI, action: revocation.ActionGenerate, endpoint: handle(h.generate)},
		{method: http.MethodGet, pattern: one + "/crl", id: "readRevocationList", summary: "Read an authority's revocation list: DER, or PEM for Accept: application/x-pem-file or text/plain",
			group: groupPKI, scope: scopeNone, rate: rateStatus, action: actionNone, endpoint: publish(mediaCRL, h.list)},
		{method: http.MethodGet, pattern: one + "/certificate.der", id: "readAuthorityDer", summary: "Read an authority's own certificate as DER, for those who build chains",
			group: groupPKI, scope: scopeNone, rate: rateStatus, action: actionNone, endpoint: publish(mediaCertificate, h.certificate)},
		{method: http.MethodPost, pattern: one + "/ocsp", id: "askOcsp", summary: "Ask for the status of a certificate by OCSP; the body is an application/ocsp-request",
			group: groupPKI, scope: scopeNone, rate: rateStatus, action: actionNone, endpoint: publish(mediaOCSPResponse, h.ask)},
		{method: http.MethodGet, pattern: one + "/ocsp/{request}", id: "askOcspByGet", summary: "Ask for the status of a certificate by OCSP; the request is in the path, in base64",
			group: groupPKI, scope: scopeNone, rate: rateStatus, action: actionNone, endpoint: publish(mediaOCSPResponse, h.askByGet)},
	}
}

type generateInput struct {
	ID string `path:"id" description:"id or name"`
}

func (h revocationHandlers) generate(ctx context.Context, c *call, in generateInput) (vaultapi.RevocationList, error) {
	return h.service.Regenerate(ctx, c.who, in.ID)
}

type signedInput struct {
	ID  string `path:"id" description:"id; a name belongs to a tenant, and these calls have none"`
	Key string `query:"key" description:"key id of one of the authority's certificates, in hexadecimal; without it the one that issues now"`
}

func (h revocationHandlers) list(ctx context.Context, c *call, in signedInput) (publication, error) {
	l, err := h.service.List(ctx, c.x.tenant, in.ID, in.Key)
	if err != nil {
		return publication{}, err
	}
	p := publication{media: mediaCRL, body: l.DER, etag: l.Etag, thisUpdate: l.ThisUpdate}
	c.x.Header().Set("Vary", "Accept")
	if media := accepted(c.x.r.Header, []string{mediaCRL, mediaPEM, mediaText}); media != "" && media != mediaCRL {
		p.media, p.body, p.etag = media, l.PEM, l.Etag+"-pem"
	}
	return p, nil
}

func (h revocationHandlers) certificate(ctx context.Context, c *call, in signedInput) (publication, error) {
	der, err := h.service.Certificate(ctx, c.x.tenant, in.ID, in.Key)
	return publication{media: mediaCertificate, body: der}, err
}

type askInput struct {
	ID string `path:"id"`
}

func (h revocationHandlers) ask(ctx context.Context, c *call, in askInput) (publication, error) {
	body, err := rawBody(c.x, mediaOCSPRequest, certstatus.MaxRequest)
	if err != nil {
		return publication{}, err
	}
	a, err := h.service.Respond(ctx, c.x.tenant, in.ID, body)
	return answered(a), err
}

type askByGetInput struct {
	ID      string `path:"id"`
	Request string `path:"request" description:"base64 of the request's DER, percent-encoded or not"`
}

func (h revocationHandlers) askByGet(ctx context.Context, c *call, in askByGetInput) (publication, error) {
	a, err := h.service.RespondGet(ctx, c.x.tenant, in.ID, in.Request)
	return answered(a), err
}

func answered(a revocation.Answer) publication {
	return publication{media: mediaOCSPResponse, body: a.DER, etag: a.Etag, thisUpdate: a.ThisUpdate}
}
