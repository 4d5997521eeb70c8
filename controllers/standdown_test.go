package controllers

import (
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A lease is taken when nobody holds it, when an earlier release does, or when its holder did not renew it for as
// long as it holds by our own clock: the times that it names are another machine's.
func TestLeaseIsFree(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	lease := func(holder string, seconds int32) *coordinationv1.Lease {
		long := metav1.NewMicroTime(now.Add(-24 * time.Hour)) // a clock that is a day behind
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{ResourceVersion: "7"},
			Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &long}}
	}
	for name, tc := range map[string]struct {
		lease *coordinationv1.Lease
		seen  sighting
		want  bool
	}{
		"nobody's yet":               {&coordinationv1.Lease{}, sighting{}, true},
		"given back":                 {lease("", 1), sighting{}, true},
		"an earlier release's":       {lease(releaseHolder, 300), sighting{}, true},
		"held, first seen":           {lease("operator", 15), sighting{}, false},
		"held, renewed":              {lease("operator", 15), sighting{version: "6", since: now.Add(-time.Hour)}, false},
		"held, still for 15 seconds": {lease("operator", 15), sighting{version: "7", since: now.Add(-15 * time.Second)}, false},
		"held, still for longer":     {lease("operator", 15), sighting{version: "7", since: now.Add(-16 * time.Second)}, true},
	} {
		if got := tc.seen.of(tc.lease, now).free(tc.lease, now); got != tc.want {
			t.Errorf("%s: %t", name, got)
		}
	}
	mine := held(lease("", 1), now)
	if *mine.Spec.HolderIdentity != releaseHolder || *mine.Spec.LeaseDurationSeconds < 60 || !mine.Spec.RenewTime.Time.Equal(now) {
		t.Errorf("held as %+v", mine.Spec)
	}
}
