package controllers

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/controllers/internal/reconcile"
)

// censusLimit bounds a count; the cache answers at once or is not filled yet.
const censusLimit = 2 * time.Second

// census counts the objects of each kind by how they are, when it is scraped: what waits for a person is seen
// without looking at every object. It reads the cache only.
type census struct {
	cached kube.Reader
	desc   *prometheus.Desc
}

// state is what objects are counted by. Reasons are those of v1alpha1.
type state struct{ ready, reason string }

func newCensus(cached kube.Reader) *census {
	return &census{cached: cached, desc: prometheus.NewDesc("scaivault_operator_objects",
		"Objects of a kind by the status and the reason of their condition Ready.", []string{"kind", "ready", "reason"}, nil)}
}

// register replaces the census of an operator that ran before in this process.
func (c *census) register(r prometheus.Registerer) error {
	r.Unregister(c)
	return r.Register(c)
}

// Describe implements prometheus.Collector.
func (c *census) Describe(ch chan<- *prometheus.Desc) { ch <- c.desc }

// Collect implements prometheus.Collector. A kind that cannot be counted now is left out.
func (c *census) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), censusLimit)
	defer cancel()
	for kind, list := range map[string]kube.ObjectList{
		"VaultSecret": &v1alpha1.VaultSecretList{}, "VaultPolicy": &v1alpha1.VaultPolicyList{}, "RotationSchedule": &v1alpha1.RotationScheduleList{},
		"PKIIssuer": &v1alpha1.PKIIssuerList{}, "ClusterPKIIssuer": &v1alpha1.ClusterPKIIssuerList{},
	} {
		counts, err := c.count(ctx, list)
		if err != nil {
			continue
		}
		for s, n := range counts {
			ch <- prometheus.MustNewConstMetric(c.desc, prometheus.GaugeValue, float64(n), kind, s.ready, s.reason)
		}
	}
}

// count looks at the cache's own objects, without copying them.
func (c *census) count(ctx context.Context, list kube.ObjectList) (map[state]int, error) {
	if err := c.cached.List(ctx, list, kube.UnsafeDisableDeepCopy); err != nil {
		return nil, err
	}
	counts := map[state]int{}
	err := meta.EachListItem(list, func(o runtime.Object) error {
		counts[stateOf(o.(reconcile.Object).ObjectStatus().Conditions)]++
		return nil
	})
	return counts, err
}

// stateOf is the state that conditions tell; an object that was never looked at is Unknown.
func stateOf(conditions []metav1.Condition) state {
	ready := meta.FindStatusCondition(conditions, v1alpha1.ConditionReady)
	if ready == nil {
		return state{ready: string(metav1.ConditionUnknown)}
	}
	return state{ready: string(ready.Status), reason: ready.Reason}
}
