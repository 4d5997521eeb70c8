package vaultsecret

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
	"github.com/scailabs/scaivault/controllers/internal/template"
)

// needed tells whether a source must exist: every use of it but an optional field needs it.
func needed(spec *v1alpha1.VaultSecretSpec, source string) bool {
	if len(spec.Data) == 0 && len(spec.DataFrom) == 0 {
		return true
	}
	if slices.ContainsFunc(spec.DataFrom, func(d v1alpha1.DataFrom) bool { return d.Source == source }) {
		return true
	}
	optional := false
	for _, d := range spec.Data {
		switch {
		case d.From == nil && strings.Contains(d.Template, source), d.From != nil && d.From.Source == source && !d.From.Optional:
			return true
		case d.From != nil && d.From.Source == source:
			optional = true
		}
	}
	return !optional
}

// content collects the keys of the target, and where each came from.
type content struct {
	data map[string][]byte
	from map[string]string
	sees map[string]any // what templates see
}

// render makes the content of the target out of the secrets of each source. It reads nothing but its arguments.
func render(spec *v1alpha1.VaultSecretSpec, values map[string][]value, now func() time.Time) (map[string][]byte, error) {
	c := &content{data: map[string][]byte{}, from: map[string]string{}}
	if slices.ContainsFunc(spec.Data, func(d v1alpha1.DataEntry) bool { return d.From == nil }) {
		c.sees = templateData(spec, values)
	}
	from := spec.DataFrom
	if len(spec.Data) == 0 && len(from) == 0 {
		for _, s := range spec.Sources {
			from = append(from, v1alpha1.DataFrom{Source: s.Name})
		}
	}
	for _, d := range spec.Data {
		if err := c.entry(d, values, now); err != nil {
			return nil, err
		}
	}
	for _, d := range from {
		for _, v := range values[d.Source] {
			if err := c.fields(d, v, origin(spec, d.Source, v)); err != nil {
				return nil, err
			}
		}
	}
	return c.data, nil
}

// origin says where a secret's fields come from.
func origin(spec *v1alpha1.VaultSecretSpec, source string, v value) string {
	if i := slices.IndexFunc(spec.Sources, func(s v1alpha1.Source) bool { return s.Name == source }); i >= 0 && spec.Sources[i].PathPrefix != "" {
		return v.path + " of source " + source
	}
	return "source " + source
}

// put adds a key; one key from two places is a mistake of the user.
func (c *content) put(key, place string, v []byte) error {
	if other, twice := c.from[key]; twice {
		return badData(fmt.Errorf("key %s comes from %s and from %s; rename one with data or with keyFormat, such as {name}_{field}, or exclude it", key, other, place))
	}
	c.data[key], c.from[key] = v, place
	return nil
}

func badData(err error) error { return reconcile.Stalled(v1alpha1.ReasonInvalidData, err) }

func (c *content) entry(d v1alpha1.DataEntry, values map[string][]value, now func() time.Time) error {
	if d.From == nil {
		out, err := template.Render(d.Template, c.sees, now)
		if err != nil {
			return badTemplate(d.Key, err)
		}
		return c.put(d.Key, "its template", out)
	}
	var v value
	if of := values[d.From.Source]; len(of) == 1 {
		v = of[0]
	}
	raw, has := v.fields[d.From.Field]
	if !has && d.From.Optional {
		return nil
	}
	if !has {
		return reconcile.Stalled(v1alpha1.ReasonFieldMissing,
			fmt.Errorf("key %s: the secret at %s (source %s) has no field %s; set optional to leave the key out", d.Key, v.path, d.From.Source, d.From.Field))
	}
	out, err := decoded(raw, d.From.Decode)
	if err != nil {
		return badData(fmt.Errorf("key %s: field %s of source %s %w", d.Key, d.From.Field, d.From.Source, err))
	}
	return c.put(d.Key, "source "+d.From.Source, out)
}

// fields adds all fields of one secret.
func (c *content) fields(d v1alpha1.DataFrom, v value, place string) error {
	format := d.KeyFormat
	if format == "" {
		format = "{field}"
	}
	for _, field := range slices.Sorted(maps.Keys(v.fields)) {
		key := strings.NewReplacer("{name}", v.name, "{field}", field).Replace(format)
		if !selected(key, d.Include, d.Exclude) {
			continue
		}
		if err := c.put(key, place, plain(v.fields[field])); err != nil {
			return err
		}
	}
	return nil
}

func selected(key string, include, exclude []string) bool {
	matches := func(g string) bool { return glob(g, key) }
	if len(include) > 0 && !slices.ContainsFunc(include, matches) {
		return false
	}
	return !slices.ContainsFunc(exclude, matches)
}

// glob matches * (any run) and ? (one character) in time linear in both, so that no pattern can stall us.
func glob(pattern, s string) bool {
	p, i, star, mark := 0, 0, -1, 0
	for i < len(s) {
		switch {
		case p < len(pattern) && pattern[p] == '*':
			star, mark = p, i
			p++
		case p < len(pattern) && (pattern[p] == '?' || pattern[p] == s[i]):
			p++
			i++
		case star >= 0:
			mark++
			p, i = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// plain is a field as bytes: a string gives its bytes, anything else compact JSON as it was written.
func plain(raw json.RawMessage) []byte {
	var s string
	if len(raw) > 0 && raw[0] == '"' && json.Unmarshal(raw, &s) == nil {
		return []byte(s)
	}
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return raw
	}
	return b.Bytes()
}

func decoded(raw json.RawMessage, how v1alpha1.Decoding) ([]byte, error) {
	out := plain(raw)
	if how != v1alpha1.DecodeBase64 {
		return out, nil
	}
	if len(raw) == 0 || raw[0] != '"' {
		return nil, fmt.Errorf("is no string, and only a string can be Base64; take decode away")
	}
	out, ok := template.Base64(string(out))
	if !ok {
		return nil, fmt.Errorf("is not Base64; take decode away, or write Base64 into the vault")
	}
	return out, nil
}

// templateData is what templates see: sources by name, each a map of fields with numbers as written; a source with
// a prefix is a map of such maps by the secrets' names.
func templateData(spec *v1alpha1.VaultSecretSpec, values map[string][]value) map[string]any {
	all := map[string]any{}
	for _, src := range spec.Sources {
		if src.PathPrefix == "" {
			for _, v := range values[src.Name] {
				all[src.Name] = v.decoded()
			}
			continue
		}
		byName := map[string]any{}
		for _, v := range values[src.Name] {
			byName[v.name] = v.decoded()
		}
		all[src.Name] = byName
	}
	return all
}

func (v value) decoded() map[string]any {
	fields := map[string]any{}
	for f, raw := range v.fields {
		dec := json.NewDecoder(bytes.NewReader(raw))
		dec.UseNumber()
		var x any
		if dec.Decode(&x) == nil {
			fields[f] = x
		}
	}
	return fields
}
