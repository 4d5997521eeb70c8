package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/swaggest/jsonschema-go"
	"github.com/swaggest/openapi-go"
	"github.com/swaggest/openapi-go/openapi31"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/secrets"
)

const bearerScheme = "bearer"

// OpenAPI is the document of the whole API, as /v1/openapi.json serves it and docs/spec/openapi.json keeps it.
func OpenAPI() ([]byte, error) {
	s, err := New(Config{}, Services{})
	if err != nil {
		return nil, err
	}
	return openAPI(s.routes)
}

// openAPI describes a route table: paths and parameters from the rows, bodies from the wire types.
func openAPI(rows []route) ([]byte, error) {
	r := openapi31.NewReflector()
	r.Spec.Info.WithTitle("ScaiVault").WithVersion("v1").WithDescription(apiDescription)
	r.Spec.SetHTTPBearerTokenSecurity(bearerScheme, "", "a token of kind skt_, or one from POST /v1/auth/exchange")
	configureSchemas(r.JSONSchemaReflector())
	for i := range rows {
		if err := describe(r, &rows[i]); err != nil {
			return nil, fmt.Errorf("openapi of %s: %w", rows[i].id, err)
		}
	}
	doc, err := json.MarshalIndent(r.Spec, "", "  ")
	if err != nil {
		return nil, fmt.Errorf("openapi: %w", err)
	}
	return append(doc, '\n'), nil
}

const apiDescription = "Every route also exists below /v1/t/{tenant_id}. The parameter {path} of a secret spans several " +
	"segments; send its slashes as they are or as %2F. `GET /v1/secrets/{path}?view=metadata` and `?view=versions` answer " +
	"like the routes of these names. Every answer carries X-Request-ID and the three X-RateLimit headers; every answer " +
	"that is not 2xx or 304 carries the error envelope."

func describe(r *openapi31.Reflector, row *route) error {
	oc, err := r.NewOperationContext(row.method, row.openAPIPath())
	if err != nil {
		return err
	}
	in, out := row.endpoint.types()
	oc.SetID(row.id)
	oc.SetSummary(row.summary)
	oc.SetTags(row.group)
	oc.SetDescription(rowDescription(row))
	if !row.anonymous {
		oc.AddSecurity(bearerScheme)
	}
	oc.AddReqStructure(reflect.Zero(in).Interface())
	if body, ok := in.FieldByName("Body"); ok {
		oc.AddReqStructure(reflect.Zero(body.Type).Interface(), bodyRequired(row.method != http.MethodPost))
	}
	describeAnswers(oc, row, out)
	return r.AddOperation(oc)
}

func rowDescription(row *route) string {
	switch row.scope {
	case scopeNone:
		return "Needs no token."
	case scopeAny:
		return "Needs a token of any scope."
	}
	return "Needs scope " + row.scope + "."
}

// bodyRequired: a POST without a body is {} (contract OC-36).
func bodyRequired(required bool) openapi.ContentOption {
	return func(cu *openapi.ContentUnit) {
		cu.Customize = func(target openapi.ContentOrReference) {
			if body, ok := target.(*openapi31.RequestBodyOrReference); ok {
				body.RequestBodyEns().WithRequired(required)
			}
		}
	}
}

func describeAnswers(oc openapi.OperationContext, row *route, out reflect.Type) {
	for _, status := range append([]int{row.successStatus()}, row.alsoStatus...) {
		if status == http.StatusNoContent || status == http.StatusNotModified {
			oc.AddRespStructure(nil, openapi.WithHTTPStatus(status))
			continue
		}
		body := reflect.Zero(out).Interface()
		oc.AddRespStructure(body, openapi.WithHTTPStatus(status), openapi.WithContentType(row.endpoint.mediaType()))
	}
	oc.AddRespStructure(vaultapi.ErrorEnvelope{}, func(cu *openapi.ContentUnit) {
		cu.IsDefault, cu.Description = true, "The error envelope (see ErrorBody.code)"
	})
}

// configureSchemas teaches the reflector the wire types' habits: nothing is null but pointers, and what is not
// omitted when empty is always there.
func configureSchemas(r *jsonschema.Reflector) {
	r.AddTypeMapping(vaultapi.Time{}, time.Time{})
	r.AddTypeMapping(vaultapi.MicroTime{}, time.Time{})
	r.AddTypeMapping(vaultapi.Values{}, anyObject{})
	r.AddTypeMapping(vaultapi.KeyText{}, "")
	r.AddTypeMapping(json.RawMessage{}, anyObject{})
	r.AddTypeMapping(map[string]any{}, anyObject{})
	r.AddTypeMapping(vaultapi.Thresholds(""), durationList{})
	r.AddTypeMapping(document{}, "")
	r.AddTypeMapping(secrets.Path{}, "")
	r.AddTypeMapping(time.Duration(0), "")
	r.DefaultOptions = append(r.DefaultOptions,
		jsonschema.InterceptDefName(func(_ reflect.Type, name string) string {
			return strings.TrimPrefix(strings.TrimPrefix(name, "Vaultapi"), "Httpapi")
		}),
		jsonschema.InterceptNullability(func(p jsonschema.InterceptNullabilityParams) {
			if p.Type.Kind() != reflect.Pointer {
				p.Schema.RemoveType(jsonschema.Null)
			}
		}),
		jsonschema.InterceptProp(required),
	)
}

// anyObject is a JSON object of any fields, null ones too.
type anyObject struct{}

// JSONSchema implements jsonschema.Exposer.
func (anyObject) JSONSchema() (jsonschema.Schema, error) {
	var s jsonschema.Schema
	s.AddType(jsonschema.Object)
	return s, nil
}

// durationList is a string such as 7d,1d, or a list of such durations.
type durationList struct{}

// JSONSchema implements jsonschema.Exposer.
func (durationList) JSONSchema() (jsonschema.Schema, error) {
	var s, item jsonschema.Schema
	item.AddType(jsonschema.String)
	s.AddType(jsonschema.String)
	s.AddType(jsonschema.Array)
	s.ItemsEns().WithSchemaOrBool(item.ToSchemaOrBool())
	return s, nil
}

func required(p jsonschema.InterceptPropParams) error {
	tag, ok := p.Field.Tag.Lookup("json")
	if !p.Processed || !ok || strings.Contains(tag, ",omit") || slices.Contains(p.ParentSchema.Required, p.Name) {
		return nil
	}
	p.ParentSchema.Required = append(p.ParentSchema.Required, p.Name)
	return nil
}
