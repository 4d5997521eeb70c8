// Package consumers knows who uses a Kubernetes Secret, and makes them see a change of it: it restarts workloads,
// and makes kubelets look at mounted Secrets at once.
//
// Nothing is watched: workloads and pods are listed, page by page, when there is something to tell them. What a
// workload has been told stands on its pod template (Mark), so that whoever restarts, and however often it tries,
// restarts once.
package consumers
