package target

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Unknown is the manager of what nobody is known to hold.
const Unknown = "unknown"

type names map[string]bool

// holding is what one entry of managedFields holds of a Secret.
type holding struct {
	manager string
	applied bool // by server-side apply, as one who will put it back
	data    names
	labels  names
	notes   names // annotations
}

// holdings reads managedFields. An entry that has not the shape that Kubernetes writes holds nothing.
func holdings(m metav1.Object) []holding {
	var all []holding
	for _, e := range m.GetManagedFields() {
		all = append(all, held(e))
	}
	return all
}

func held(e metav1.ManagedFieldsEntry) holding {
	h := holding{manager: e.Manager, applied: e.Operation == metav1.ManagedFieldsOperationApply, data: names{}, labels: names{}, notes: names{}}
	var set struct {
		Data map[string]json.RawMessage            `json:"f:data"`
		Meta map[string]map[string]json.RawMessage `json:"f:metadata"`
	}
	if e.FieldsV1 == nil || json.Unmarshal(e.FieldsV1.GetRawBytes(), &set) != nil {
		return h
	}
	h.data.add(set.Data)
	h.labels.add(set.Meta["f:labels"])
	h.notes.add(set.Meta["f:annotations"])
	return h
}

func (n names) add(fields map[string]json.RawMessage) {
	for f := range fields {
		if name, ok := strings.CutPrefix(f, "f:"); ok && name != "" {
			n[name] = true
		}
	}
}

// byManager joins what a manager holds by whatever operation.
func byManager(all []holding, manager string) holding {
	sum := holding{manager: manager, data: names{}, labels: names{}, notes: names{}}
	for _, h := range all {
		if h.manager != manager {
			continue
		}
		sum.data.join(h.data)
		sum.labels.join(h.labels)
		sum.notes.join(h.notes)
	}
	return sum
}

func (n names) join(more names) {
	for name := range more {
		n[name] = true
	}
}

// holder is the first manager by name that holds something and is not self, "" if nobody does.
func holder(all []holding, self string, has func(holding) bool) string {
	first := ""
	for _, h := range all {
		if h.manager != self && has(h) && (first == "" || cmp.Less(h.manager, first)) {
			first = h.manager
		}
	}
	return first
}

// KeysAnnotation is the annotation of a Shared Secret in which an owner's keys are listed.
func KeysAnnotation(o Owner) string { return keysAnnotation(FieldManager(o)) }

func keysAnnotation(manager string) string {
	sum := sha256.Sum256([]byte(manager))
	return v1alpha1.AnnotationKeysPrefix + hex.EncodeToString(sum[:5])
}

// retainMark begins the list of keys that stay when their owner goes: he cannot be asked any more then.
const retainMark = "retain:"

// retained tells whether an annotation says so.
func retained(m metav1.Object, annotation string) bool {
	return strings.HasPrefix(m.GetAnnotations()[annotation], retainMark)
}

// listed are the keys that an annotation names.
func listed(m metav1.Object, annotation string) (keys names, found bool) {
	text, found := m.GetAnnotations()[annotation]
	text, keys = strings.TrimPrefix(text, retainMark), names{}
	for k := range strings.SplitSeq(text, ",") {
		if k != "" {
			keys[k] = true
		}
	}
	return keys, found
}

// sharers are the keys annotations of all but one, in order.
func sharers(m metav1.Object, but string) []string {
	var all []string
	for a := range m.GetAnnotations() {
		if strings.HasPrefix(a, v1alpha1.AnnotationKeysPrefix) && a != but {
			all = append(all, a)
		}
	}
	slices.Sort(all)
	return all
}

// IsShared tells whether anybody wrote a Secret as Shared.
func IsShared(m metav1.Object) bool { return len(sharers(m, "")) > 0 }
