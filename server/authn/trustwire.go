package authn

import (
	"slices"
	"strconv"
	"time"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
)

// wire is a rule as the API shows it.
func (r TrustRule) wire() vaultapi.TrustRule {
	return vaultapi.TrustRule{
		ID: r.ID, Name: r.Name, Cluster: r.Cluster, Namespace: r.Namespace, ServiceAccount: r.ServiceAccount,
		Identity: r.Identity, Scopes: listed(r.Scopes), Life: short(r.Life), LifeSeconds: int64(r.Life / time.Second),
		Owner: r.Owner, CreatedAt: vaultapi.At(r.CreatedAt),
	}
}

// short writes whole seconds in the longest unit that fits, as people do: 10m and not 10m0s.
func short(d time.Duration) string {
	for _, unit := range []struct {
		name   string
		length time.Duration
	}{{"h", time.Hour}, {"m", time.Minute}} {
		if d%unit.length == 0 {
			return strconv.FormatInt(int64(d/unit.length), 10) + unit.name
		}
	}
	return strconv.FormatInt(int64(d/time.Second), 10) + "s"
}

// written fills a rule with a body; what identifies it and when it was made stay.
func (r TrustRule) written(w vaultapi.TrustRuleWrite) (TrustRule, error) {
	life, err := parseLife(w.Life)
	if err != nil {
		return TrustRule{}, err
	}
	if w.Scopes != nil && len(w.Scopes) == 0 { // who gives none must not get all that are usual
		return TrustRule{}, fault.Validation(map[string]string{"scopes": "at least one; leave it out for those that a workload needs"})
	}
	r.Name, r.Cluster, r.Namespace, r.ServiceAccount = w.Name, w.Cluster, w.Namespace, w.ServiceAccount
	r.Identity, r.Scopes, r.Life = w.Identity, distinct(w.Scopes), life
	r = r.withDefaults()
	return r, r.validate()
}

// patched changes the fields given.
func (r TrustRule) patched(p vaultapi.TrustRulePatch) (TrustRule, error) {
	w := vaultapi.TrustRuleWrite{
		Name: r.Name, Cluster: r.Cluster, Namespace: r.Namespace, ServiceAccount: r.ServiceAccount,
		Identity: r.Identity, Scopes: r.Scopes, Life: short(r.Life),
	}
	if p.Cluster != nil && !r.alias() {
		w.Identity = "" // the template follows the cluster
	}
	set(&w.Name, p.Name)
	set(&w.Cluster, p.Cluster)
	set(&w.Namespace, p.Namespace)
	set(&w.ServiceAccount, p.ServiceAccount)
	set(&w.Identity, p.Identity)
	set(&w.Scopes, p.Scopes)
	set(&w.Life, p.Life)
	return r.written(w)
}

func set[T any](to, from *T) {
	if from != nil {
		*to = *from
	}
}

func parseLife(text string) (time.Duration, error) {
	if text == "" {
		return 0, nil
	}
	d, err := schedule.ParseDuration(text)
	if err != nil {
		return 0, fault.Invalid(fault.CodeInvalidDuration, "life must be a duration from 1m to 1h, such as 10m").With("field", "life")
	}
	return d, nil
}

// distinct leaves out what is there twice and keeps the order.
func distinct(scopes []string) []string {
	var out []string
	for _, s := range scopes {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}
