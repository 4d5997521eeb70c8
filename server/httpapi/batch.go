package httpapi

import (
	"context"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/secrets"
)

type batchInput struct{ Body vaultapi.BatchRequest }

// batchAnswer is what appendBatch opens.
type batchAnswer struct {
	secrets  map[string]secrets.Secret
	errors   map[string]vaultapi.BatchError
	metadata bool
}

// batchRead counts one read for each path besides the batch itself; paths that give nothing are given back
// (contract section 4).
func (h secretHandlers) batchRead(ctx context.Context, c *call, in batchInput) (batchAnswer, error) {
	asked := int64(len(in.Body.Paths))
	if err := c.charge(ctx, rateReadSecrets, asked); err != nil {
		return batchAnswer{}, err
	}
	b, err := h.service.BatchRead(ctx, c.who, in.Body)
	c.giveBack(rateReadSecrets, asked-int64(len(b.Secrets)))
	if err != nil {
		return batchAnswer{}, err
	}
	for _, s := range b.Secrets {
		c.s.metrics.reads.WithLabelValues(c.who.Tenant, s.SecretType).Inc()
	}
	return batchAnswer{secrets: b.Secrets, errors: batchErrors(b.Errors), metadata: in.Body.Options.IncludeMetadata}, nil
}

func (h secretHandlers) batchMetadata(ctx context.Context, c *call, in batchInput) (vaultapi.BatchMetadataResponse, error) {
	b, err := h.service.BatchMetadata(ctx, c.who, in.Body)
	if err != nil {
		return vaultapi.BatchMetadataResponse{}, err
	}
	return vaultapi.BatchMetadataResponse{Secrets: b.Secrets, Errors: batchErrors(b.Errors)}, nil
}

func batchErrors(errors map[string]error) map[string]vaultapi.BatchError {
	out := make(map[string]vaultapi.BatchError, len(errors))
	for path, err := range errors {
		f := fault.From(err)
		out[path] = vaultapi.BatchError{Code: f.Code, Message: f.Message}
	}
	return out
}

// maxCharge is more than any call may ask for; what is above is refused by the domain.
const maxCharge = 100

// charge counts n units of another category than the route's, all or none of them.
func (c *call) charge(ctx context.Context, of category, n int64) error {
	v := c.s.limiter.take(c.bucket(of), min(n, maxCharge), c.x.start)
	if v.ok {
		return nil
	}
	return c.s.record(ctx, c.x, c.s.limited(v))
}

func (c *call) giveBack(of category, n int64) {
	if n = min(n, maxCharge); n > 0 {
		c.s.limiter.take(c.bucket(of), -n, c.x.start)
	}
}

func (c *call) bucket(of category) bucketKey {
	key := c.x.bucket
	key.category = of
	return key
}
