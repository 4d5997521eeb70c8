package consumers

import corev1 "k8s.io/api/core/v1"

// Usage is how pods use one Secret: a set of Env, File and Fixed.
type Usage uint8

const (
	// Env is by environment: a container reads it when it starts, and never again.
	Env Usage = 1 << iota
	// File is by a mounted file that the kubelet refreshes.
	File
	// Fixed is by a file that no refresh helps: mounted by subPath, or read by an init container, which has run.
	Fixed
)

// Has tells whether a usage is in the set.
func (u Usage) Has(other Usage) bool { return u&other != 0 }

// Uses tells how a pod uses which Secrets, by their names: through env, envFrom, and mounted volumes of type secret
// and projected, in containers, init containers and ephemeral containers.
//
// A volume that no container mounts is read by nobody. Credentials that only the kubelet uses (imagePullSecrets,
// those of volume plugins) count neither: it reads them anew each time that it pulls or mounts.
func Uses(pod *corev1.PodSpec) map[string]Usage {
	u := usages{volumes: volumeSecrets(pod), of: map[string]Usage{}}
	for i := range pod.InitContainers {
		c := &pod.InitContainers[i]
		u.container(c, c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways)
	}
	for i := range pod.Containers {
		u.container(&pod.Containers[i], true)
	}
	for i := range pod.EphemeralContainers {
		c := corev1.Container(pod.EphemeralContainers[i].EphemeralContainerCommon)
		u.container(&c, true)
	}
	return u.of
}

// volumeSecrets maps the volumes of a pod to the Secrets they show.
func volumeSecrets(pod *corev1.PodSpec) map[string][]string {
	shown := map[string][]string{}
	for _, v := range pod.Volumes {
		if v.Secret != nil {
			shown[v.Name] = append(shown[v.Name], v.Secret.SecretName)
		}
		if v.Projected == nil {
			continue
		}
		for _, s := range v.Projected.Sources {
			if s.Secret != nil {
				shown[v.Name] = append(shown[v.Name], s.Secret.Name)
			}
		}
	}
	return shown
}

// usages collects what the containers of a pod use.
type usages struct {
	volumes map[string][]string
	of      map[string]Usage
}

// container adds one container. stays tells that it runs as long as the pod.
func (u *usages) container(c *corev1.Container, stays bool) {
	for _, e := range c.Env {
		if e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil {
			u.add(e.ValueFrom.SecretKeyRef.Name, Env)
		}
	}
	for _, e := range c.EnvFrom {
		if e.SecretRef != nil {
			u.add(e.SecretRef.Name, Env)
		}
	}
	for _, m := range c.VolumeMounts {
		how := File
		if !stays || m.SubPath != "" || m.SubPathExpr != "" {
			how = Fixed
		}
		for _, secret := range u.volumes[m.Name] {
			u.add(secret, how)
		}
	}
}

func (u *usages) add(secret string, how Usage) {
	if secret != "" {
		u.of[secret] |= how
	}
}
