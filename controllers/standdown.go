package controllers

import (
	"context"
	"errors"
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	// releaseHolder is always the same, so that a run takes up what an earlier one left.
	releaseHolder = "scaivault-operator-release"
	// releaseLease is how long an operator that is started meanwhile waits at most.
	releaseLease = 5 * time.Minute
	// releasePatience bounds the last call.
	releasePatience = 10 * time.Second
)

// asLeader has the operator stand down and does the work while holding its lease, so that no operator undoes it.
func (r *release) asLeader(ctx context.Context, work func(context.Context) error) error {
	if err := r.scaleDown(ctx); err != nil {
		return err
	}
	alone, err := r.nobodyCanLead(ctx)
	if err != nil {
		return err
	}
	if alone {
		return work(ctx)
	}
	return r.lead(ctx, work)
}

// scaleDown ends the operator's pods. An operator that runs by other means is not found, and noticed by its lease.
func (r *release) scaleDown(ctx context.Context) error {
	if r.Deployment == "" {
		return nil
	}
	deployments := r.clients.AppsV1().Deployments(r.Namespace)
	scale, err := deployments.GetScale(ctx, r.Deployment, metav1.GetOptions{})
	if err == nil && scale.Spec.Replicas > 0 {
		scale.Spec.Replicas = 0
		_, err = deployments.UpdateScale(ctx, r.Deployment, scale, metav1.UpdateOptions{})
	}
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("scale Deployment %s/%s to zero: %w", r.Namespace, r.Deployment, err)
	}
	r.say("Deployment %s/%s has no replicas", r.Namespace, r.Deployment)
	return nil
}

// nobodyCanLead tells whether there is no lease and none can be made: the namespace ends, or is gone.
func (r *release) nobodyCanLead(ctx context.Context) (bool, error) {
	leases := r.clients.CoordinationV1().Leases(r.Namespace)
	_, err := leases.Get(ctx, leaderName, metav1.GetOptions{})
	if err == nil {
		return false, nil
	}
	if !apierrors.IsNotFound(err) {
		return false, fmt.Errorf("read Lease %s/%s: %w", r.Namespace, leaderName, err)
	}
	_, err = leases.Create(ctx, &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: leaderName}}, metav1.CreateOptions{})
	switch {
	case err == nil, apierrors.IsAlreadyExists(err):
		return false, nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err):
		return true, nil
	}
	return false, fmt.Errorf("make Lease %s/%s: %w", r.Namespace, leaderName, err)
}

// lead waits until no operator leads, and gives the lease back afterwards.
func (r *release) lead(ctx context.Context, work func(context.Context) error) error {
	if err := r.takeLease(ctx); err != nil {
		return err
	}
	err := work(ctx)
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), releasePatience)
	defer cancel()
	return errors.Join(err, r.giveLease(last))
}

// takeLease takes the lease when its holder gave it back, or did not renew it for as long as it holds.
func (r *release) takeLease(ctx context.Context) error {
	limit := time.Now().Add(r.Patience)
	tick := time.NewTicker(releasePause)
	defer tick.Stop()
	leases := r.clients.CoordinationV1().Leases(r.Namespace)
	for seen := (sighting{}); ; {
		l, err := leases.Get(ctx, leaderName, metav1.GetOptions{})
		if err == nil {
			if seen = seen.of(l, time.Now()); seen.free(l, time.Now()) {
				_, err = leases.Update(ctx, held(l, time.Now()), metav1.UpdateOptions{})
			} else {
				err = fmt.Errorf("operator %s holds Lease %s/%s: end it and run this again", *l.Spec.HolderIdentity, r.Namespace, leaderName)
			}
		}
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
			if time.Now().After(limit) {
				return fmt.Errorf("waited %s: %w", r.Patience, err)
			}
		}
	}
}

// sighting is what was seen of a lease, and since when it is so: clocks of others are not compared.
type sighting struct {
	version string
	since   time.Time
}

func (s sighting) of(l *coordinationv1.Lease, now time.Time) sighting {
	if s.version == l.ResourceVersion {
		return s
	}
	return sighting{version: l.ResourceVersion, since: now}
}

// free tells whether the lease can be taken: nobody holds it, an earlier run of ours does, or its holder is gone.
func (s sighting) free(l *coordinationv1.Lease, now time.Time) bool {
	holder := l.Spec.HolderIdentity
	if holder == nil || *holder == "" || *holder == releaseHolder {
		return true
	}
	life := l.Spec.LeaseDurationSeconds
	return life == nil || now.Sub(s.since) > time.Duration(*life)*time.Second
}

// held is the lease as we hold it: for as long as a release may take, because it is not renewed.
func held(l *coordinationv1.Lease, now time.Time) *coordinationv1.Lease {
	l = l.DeepCopy()
	holder, life, at := releaseHolder, int32(releaseLease/time.Second), metav1.NewMicroTime(now)
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds, l.Spec.AcquireTime, l.Spec.RenewTime = &holder, &life, &at, &at
	return l
}

func (r *release) giveLease(ctx context.Context) error {
	leases := r.clients.CoordinationV1().Leases(r.Namespace)
	l, err := leases.Get(ctx, leaderName, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("give Lease %s/%s back: %w", r.Namespace, leaderName, err)
	}
	nobody, moment := "", int32(1)
	l.Spec.HolderIdentity, l.Spec.LeaseDurationSeconds = &nobody, &moment
	if _, err = leases.Update(ctx, l, metav1.UpdateOptions{}); err != nil {
		return fmt.Errorf("give Lease %s/%s back: %w", r.Namespace, leaderName, err)
	}
	return nil
}
