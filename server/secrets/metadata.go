package secrets

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"unicode/utf8"
)

// Limits of metadata (contract OC-11).
const (
	maxMetadata  = 16 << 10
	maxTags      = 64
	maxTagLength = 128
	noMetadata   = "{}"
)

// encodeMetadata checks metadata and gives its JSON text. Keys whose value is null are left out.
func encodeMetadata(m map[string]any) (string, error) {
	kept := make(map[string]any, len(m))
	for k, v := range m {
		if v != nil {
			kept[k] = v
		}
	}
	if err := checkKnown(kept); err != nil {
		return "", err
	}
	raw, err := json.Marshal(kept)
	if err != nil {
		return "", invalid("metadata", "metadata is not valid JSON")
	}
	if len(raw) > maxMetadata {
		return "", tooLarge("metadata", "metadata has %d bytes; at most %d are kept", len(raw), maxMetadata)
	}
	w := walker{in: raw, trail: []string{"metadata"}}
	return string(raw), w.value()
}

// checkKnown checks the keys whose shape is fixed: description and owner are strings, tags a list of them.
func checkKnown(m map[string]any) error {
	for _, key := range []string{"description", "owner"} {
		if v, ok := m[key]; ok {
			if _, ok := v.(string); !ok {
				return invalid("metadata."+key, "metadata.%s must be a string", key)
			}
		}
	}
	v, ok := m["tags"]
	if !ok {
		return nil
	}
	tags, ok := tagList(v)
	if !ok {
		return invalid("metadata.tags", "metadata.tags must be a list of strings")
	}
	if len(tags) > maxTags {
		return invalid("metadata.tags", "%d tags; at most %d are kept", len(tags), maxTags)
	}
	for i, tag := range tags {
		if tag == "" || utf8.RuneCountInString(tag) > maxTagLength {
			return invalid(fmt.Sprintf("metadata.tags[%d]", i), "a tag has 1 to %d characters", maxTagLength)
		}
	}
	return nil
}

func tagList(v any) ([]string, bool) {
	switch list := v.(type) {
	case []string:
		return list, true
	case []any:
		tags := make([]string, 0, len(list))
		for _, item := range list {
			tag, ok := item.(string)
			if !ok {
				return nil, false
			}
			tags = append(tags, tag)
		}
		return tags, true
	}
	return nil, false
}

// mergeMetadata applies a patch to stored metadata: a key replaces the key of that name, null removes it.
func mergeMetadata(stored string, patch map[string]any) (string, error) {
	m, err := decodeMetadata(stored)
	if err != nil {
		return "", err
	}
	maps.Copy(m, patch)
	return encodeMetadata(m)
}

// decodeMetadata reads stored metadata; numbers stay as they were written. It comes with every row that is
// read, so it does not go through the decoder, which takes several times as long.
func decodeMetadata(stored string) (map[string]any, error) {
	if stored == noMetadata {
		return map[string]any{}, nil
	}
	var compact bytes.Buffer
	if json.Compact(&compact, []byte(stored)) == nil {
		d := decoder{walker{in: compact.Bytes()}}
		if m, ok := d.value().(map[string]any); ok {
			return m, nil
		}
	}
	return nil, errors.New("stored metadata is not a JSON object")
}

// decoder reads compact, valid JSON as json.Decoder with UseNumber does.
type decoder struct{ walker }

func (d *decoder) value() any {
	switch d.in[d.at] {
	case '{':
		return d.object()
	case '[':
		return d.list()
	case '"':
		return d.text()
	}
	switch l := d.literal(); l {
	case "null":
		return nil
	case "true", "false":
		return l == "true"
	default:
		return json.Number(l)
	}
}

func (d *decoder) object() map[string]any {
	m := map[string]any{}
	for d.next('}') {
		name := d.text()
		d.at++ // colon
		m[name] = d.value()
	}
	return m
}

func (d *decoder) list() []any {
	l := []any{}
	for d.next(']') {
		l = append(l, d.value())
	}
	return l
}

// next steps over { [ or a comma, and tells whether an item follows.
func (d *decoder) next(end byte) bool {
	if d.in[d.at] == end {
		d.at++
		return false
	}
	d.at++
	if d.in[d.at] == end { // of an empty object or list
		d.at++
		return false
	}
	return true
}

// tagsOf never gives nil, because readers concatenate it (contract recipe 35).
func tagsOf(m map[string]any) []string {
	if tags, ok := tagList(m["tags"]); ok {
		return tags
	}
	return []string{}
}
