package consumers

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
)

// deploymentUnsettled says what a Deployment lacks to be rolled out and ready, "" for nothing. Its controller must have
// seen the template, all pods must be of it and available, and those of older templates gone.
func deploymentUnsettled(d *appsv1.Deployment) string {
	want, st := wanted(d.Spec.Replicas), &d.Status
	switch {
	case st.ObservedGeneration < d.Generation:
		return "its controller has not seen the new template"
	case st.UpdatedReplicas < want && d.Spec.Paused:
		return fmt.Sprintf("paused with %d of %d pods updated", st.UpdatedReplicas, want)
	case st.UpdatedReplicas < want:
		return fmt.Sprintf("%d of %d pods updated", st.UpdatedReplicas, want)
	case st.Replicas > st.UpdatedReplicas:
		return fmt.Sprintf("%d pods of an older template remain", st.Replicas-st.UpdatedReplicas)
	}
	return unready(st.ReadyReplicas, st.AvailableReplicas, want)
}

// statefulSetUnsettled is the same for a StatefulSet. Pods above a partition that keeps the older revision count as not
// updated.
func statefulSetUnsettled(s *appsv1.StatefulSet) string {
	want, st := wanted(s.Spec.Replicas), &s.Status
	switch {
	case st.ObservedGeneration < s.Generation:
		return "its controller has not seen the new template"
	case st.UpdatedReplicas < want:
		return fmt.Sprintf("%d of %d pods updated", st.UpdatedReplicas, want)
	case st.Replicas > want:
		return fmt.Sprintf("%d pods too many remain", st.Replicas-want)
	}
	return unready(st.ReadyReplicas, st.AvailableReplicas, want)
}

// daemonSetUnsettled is the same for a DaemonSet.
func daemonSetUnsettled(d *appsv1.DaemonSet) string {
	want, st := d.Status.DesiredNumberScheduled, &d.Status
	switch {
	case st.ObservedGeneration < d.Generation:
		return "its controller has not seen the new template"
	case st.UpdatedNumberScheduled < want:
		return fmt.Sprintf("%d of %d pods updated", st.UpdatedNumberScheduled, want)
	}
	return unready(st.NumberReady, st.NumberAvailable, want)
}

func unready(ready, available, want int32) string {
	switch {
	case ready < want:
		return fmt.Sprintf("%d of %d pods ready", ready, want)
	case available < want:
		return fmt.Sprintf("%d of %d pods available", available, want)
	}
	return ""
}

// wanted is how many pods are wanted; the API server writes 1 where nobody says.
func wanted(replicas *int32) int32 {
	if replicas == nil {
		return 1
	}
	return *replicas
}
