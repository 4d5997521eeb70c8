package target

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Conflict is something of a Shared Secret that is not written because somebody else holds it: a key, or
// metadata.labels[name], metadata.annotations[name].
type Conflict struct{ Key, Manager string }

// sharing is how one owner stands to a Secret that others write to as well. It is a decision about a state of
// the Secret; a write that follows from it carries that state as a precondition.
type sharing struct {
	owner   Owner
	secret  metav1.Object
	all     []holding
	mine    holding
	others  []string // keys annotations of other owners
	offered bool     // the Secret says that the owner may take what it wants
}

func look(secret metav1.Object, o Owner) sharing {
	all := holdings(secret)
	return sharing{
		owner: o, secret: secret, all: all, mine: byManager(all, FieldManager(o)), others: sharers(secret, KeysAnnotation(o)),
		offered: secret.GetAnnotations()[v1alpha1.AnnotationAdopt] == o.Name,
	}
}

// owned are the keys that are ours: those that the annotation names, because an edit by hand takes the edited key
// out of managedFields, and those in managedFields, because an edit by hand may take the annotation away.
func (s sharing) owned() names {
	keys, _ := listed(s.secret, KeysAnnotation(s.owner))
	keys.join(s.mine.data)
	return keys
}

// claimant is the annotation of another owner that names a key.
func (s sharing) claimant(key string) string {
	for _, a := range s.others {
		if keys, _ := listed(s.secret, a); keys[key] {
			return a
		}
	}
	return ""
}

// manager is whose annotation it is; the hash where the manager holds nothing any more.
func (s sharing) manager(annotation string) string {
	for _, h := range s.all {
		if keysAnnotation(h.manager) == annotation {
			return h.manager
		}
	}
	return annotation
}

// keyHolder is who besides us holds a key, "" if nobody. Who does not leave a trace is unknown; but where Kubernetes
// keeps record and the key is in nobody's, somebody gave it back, and it is anybody's.
func (s sharing) keyHolder(key string) string {
	if a := s.claimant(key); a != "" {
		return s.manager(a)
	}
	by := holder(s.all, s.mine.manager, func(h holding) bool { return h.data[key] })
	if by == "" && len(s.all) == 0 {
		return Unknown
	}
	return by
}

// against tells who keeps us from writing a key, "" if nobody. Where two owners each name a key as theirs, which
// only an edit by hand brings about, the one of the lesser annotation has it, so that they do not fight.
func (s sharing) against(key string, owned, present bool) string {
	switch a := s.claimant(key); {
	case owned && a != "" && a < KeysAnnotation(s.owner), !owned && a != "":
		return s.manager(a)
	case owned, !present, s.offered:
		return ""
	}
	return s.keyHolder(key)
}

// share is what is to be done to a Shared Secret.
type share struct {
	data      map[string][]byte
	labels    map[string]string
	notes     map[string]string // annotations
	surplus   []string          // keys that were ours and are wanted no more
	conflicts []Conflict
	beside    int // bytes that stay in the Secret besides ours
}

// plan decides what of d can be written.
func (s sharing) plan(d Desired, secret *corev1.Secret) share {
	out, owned := share{data: map[string][]byte{}}, s.owned()
	for _, k := range d.keys() {
		_, present := secret.Data[k]
		if by := s.against(k, owned[k], present); by != "" {
			out.conflicts = append(out.conflicts, Conflict{k, by})
			continue
		}
		out.data[k] = d.Data[k]
	}
	for k, v := range secret.Data {
		_, wanted := d.Data[k]
		switch _, ours := out.data[k]; {
		case ours:
		case owned[k] && !wanted && !s.coheld(k):
			out.surplus = append(out.surplus, k)
		default:
			out.beside += len(k) + len(v)
		}
	}
	slices.Sort(out.surplus)
	kinds := s.metadata(d)
	out.labels, out.notes = s.allowed(&out, kinds[0]), s.allowed(&out, kinds[1])
	return out
}

// coheld tells whether somebody else would miss a key of ours: another owner, or one who applies it too.
func (s sharing) coheld(key string) bool {
	applied := holder(s.all, s.mine.manager, func(h holding) bool { return h.applied && h.data[key] })
	return applied != "" || s.claimant(key) != ""
}

// metadatum is a kind of metadata that owners may set.
type metadatum struct {
	field      string
	want, have map[string]string
	of         func(holding) names
}

// metadata are labels and annotations.
func (s sharing) metadata(d Desired) [2]metadatum {
	return [2]metadatum{
		{"metadata.labels", d.Labels, s.secret.GetLabels(), func(h holding) names { return h.labels }},
		{"metadata.annotations", d.Annotations, s.secret.GetAnnotations(), func(h holding) names { return h.notes }},
	}
}

// metadataAgainst tells who has another value there, "" if nobody. Unlike a key, a label that somebody took from us
// is left to him: nothing but managedFields says whose it was.
func (s sharing) metadataAgainst(m metadatum, name string) string {
	was, present := m.have[name]
	if !present || was == m.want[name] || m.of(s.mine)[name] || s.offered {
		return ""
	}
	return holder(s.all, s.mine.manager, func(h holding) bool { return m.of(h)[name] })
}

// allowed is what of labels or annotations can be written.
func (s sharing) allowed(out *share, m metadatum) map[string]string {
	ours := map[string]string{}
	for _, n := range slices.Sorted(maps.Keys(m.want)) {
		if by := s.metadataAgainst(m, n); by != "" {
			out.conflicts = append(out.conflicts, Conflict{m.field + "[" + n + "]", by})
			continue
		}
		ours[n] = m.want[n]
	}
	return ours
}

// intact tells from metadata alone whether what we wrote into the Secret is as we left it. Whatever others do to
// what is theirs does not show here.
func (s sharing) intact(d Desired) bool {
	mark := KeysAnnotation(s.owner)
	keys, found := listed(s.secret, mark)
	if !found || retained(s.secret, mark) != d.Retain || !s.mine.notes[mark] || !s.mine.labels[v1alpha1.LabelManaged] || !maps.Equal(keys, s.mine.data) {
		return false
	}
	for _, m := range s.metadata(d) {
		for n := range m.want {
			if !slices.ContainsFunc(s.all, func(h holding) bool { return m.of(h)[n] }) {
				return false
			}
		}
	}
	return true
}

// eased tells whether a conflict that was reported is another now, or none.
func (s sharing) eased(d Desired, reported []Conflict) bool {
	now := map[string]string{}
	for _, m := range s.metadata(d) {
		for n := range m.want {
			now[m.field+"["+n+"]"] = s.metadataAgainst(m, n)
		}
	}
	return slices.ContainsFunc(reported, func(c Conflict) bool {
		by, isMetadata := now[c.Key]
		if !isMetadata {
			by = s.keyHolder(c.Key)
		}
		return s.offered || by != c.Manager
	})
}
