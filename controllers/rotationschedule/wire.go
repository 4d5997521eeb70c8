package rotationschedule

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// ownerPrefix starts the owner of everything that RotationSchedules of a cluster make.
func ownerPrefix(cluster string) string { return "k8s:" + cluster + "/RotationSchedule" }

// namePrefix starts the owners of all objects of one name, of which at most one lives at a time.
func namePrefix(cluster string, key types.NamespacedName) string {
	return ownerPrefix(cluster) + "/" + key.Namespace + "/" + key.Name + "/"
}

func ownerOf(cluster string, obj *v1alpha1.RotationSchedule) string {
	return namePrefix(cluster, keyOf(obj)) + string(obj.UID)
}

// scheduleOf reads which object of this cluster an owner is, "" if none.
func scheduleOf(cluster, owner string) (key types.NamespacedName, uid types.UID, ok bool) {
	rest, ok := strings.CutPrefix(owner, ownerPrefix(cluster)+"/")
	parts := strings.Split(rest, "/")
	if !ok || len(parts) != 3 {
		return key, "", false
	}
	return types.NamespacedName{Namespace: parts[0], Name: parts[1]}, types.UID(parts[2]), true
}

func keyOf(obj *v1alpha1.RotationSchedule) types.NamespacedName {
	return types.NamespacedName{Namespace: obj.Namespace, Name: obj.Name}
}

// policyName is the policy's name in the vault. A namespace has no dot, so that no two objects have one name.
func policyName(cluster string, key types.NamespacedName) string {
	return cluster + "." + key.Namespace + "." + key.Name
}

// write is the rotation policy of an object. Its description names the generation, by which a policy that is older
// than the spec is known: what the vault echoes may be written in another way.
func write(cluster string, obj *v1alpha1.RotationSchedule, now time.Time) (vaultapi.RotationPolicyWrite, error) {
	spec := &obj.Spec
	recipe, err := recipe(spec.Generate)
	w := vaultapi.RotationPolicyWrite{
		Name: policyName(cluster, keyOf(obj)), Owner: ownerOf(cluster, obj),
		Description: fmt.Sprintf("RotationSchedule %s of cluster %s, generation %d", keyOf(obj), cluster, obj.Generation),
		Interval:    string(spec.When.Every), Cron: spec.When.Cron, TimeZone: spec.When.TimeZone,
		Window: string(spec.When.Window), Spread: string(spec.When.Spread),
		GracePeriod: seconds(period(spec)), AutoGenerate: spec.Mode == v1alpha1.RotationGenerate, Generate: recipe,
	}
	if waits(spec) {
		w.GraceHold = seconds(deadline(spec, now))
	}
	var warn []string
	for _, d := range spec.WarnBefore {
		warn = append(warn, string(d))
	}
	w.WarnBefore = vaultapi.Thresholds(strings.Join(warn, ","))
	return w, err
}

// seconds writes a duration in the grammar of the contract.
func seconds(d time.Duration) string { return fmt.Sprintf("%ds", int64(d/time.Second)) }

// patch makes an existing policy say what a write says.
func patch(w vaultapi.RotationPolicyWrite) vaultapi.RotationPolicyPatch {
	p := vaultapi.RotationPolicyPatch{
		Description: &w.Description, TimeZone: &w.TimeZone, Window: &w.Window, Spread: &w.Spread,
		GracePeriod: &w.GracePeriod, GraceHold: &w.GraceHold, WarnBefore: &w.WarnBefore,
		AutoGenerate: &w.AutoGenerate, Generate: w.Generate, Owner: w.Owner,
	}
	if p.Interval = &w.Interval; w.Cron != "" {
		p.Interval, p.Cron = nil, &w.Cron
	}
	if p.Generate == nil {
		p.Generate = &vaultapi.RotationRecipe{}
	}
	return p
}

// recipe is how the vault is told of generated fields.
func recipe(g *v1alpha1.Generation) (*vaultapi.RotationRecipe, error) {
	if g == nil {
		return nil, nil
	}
	r := &vaultapi.RotationRecipe{}
	for i := range g.Fields {
		f := &g.Fields[i]
		raw, err := json.Marshal(config(f))
		if err != nil {
			return nil, fmt.Errorf("field %s: %w", f.Name, err)
		}
		r.Fields = append(r.Fields, vaultapi.SecretPolicyField{Name: f.Name, Generator: string(f.Generator), Config: raw})
	}
	return r, nil
}

// config is that of a generator, as contract section 7 names it.
func config(f *v1alpha1.GeneratedField) map[string]any {
	c := map[string]any{}
	put(c, "length", f.Length)
	put(c, "charset", string(f.Charset))
	put(c, "template", f.Template)
	put(c, "bits", f.Bits)
	put(c, "curve", f.Curve)
	put(c, "key_type", f.KeyType)
	put(c, "comment", f.Comment)
	put(c, "version", f.Version)
	put(c, "rounds", f.Rounds)
	put(c, "require_upper", slices.Contains(f.Require, v1alpha1.CharacterUpper))
	put(c, "require_lower", slices.Contains(f.Require, v1alpha1.CharacterLower))
	put(c, "require_digit", slices.Contains(f.Require, v1alpha1.CharacterDigit))
	put(c, "require_symbol", slices.Contains(f.Require, v1alpha1.CharacterSymbol))
	return c
}

// put leaves out what is not given.
func put[T comparable](to map[string]any, name string, value T) {
	var absent T
	if value != absent {
		to[name] = value
	}
}
