package chart_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	authenticationv1 "k8s.io/api/authentication/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// volume is the directory of a volume: a claim's is there for the next pod, too.
func (p *process) volume(name string) string {
	for _, v := range p.pod.Spec.Volumes {
		if v.Name == name && v.PersistentVolumeClaim != nil {
			return filepath.Join(p.n.dir, "claims", v.PersistentVolumeClaim.ClaimName)
		}
	}
	return filepath.Join(p.n.dir, "pods", string(p.pod.UID), name)
}

// mount makes the volumes, and brings those of Secrets up to date.
func (p *process) mount(ctx context.Context, secrets map[string]*corev1.Secret) {
	for _, v := range p.pod.Spec.Volumes {
		done, err := p.fill(ctx, v, secrets)
		if err != nil {
			p.log.add(fmt.Sprintf("volume %s: %v\n", v.Name, err))
		}
		if !done || err != nil {
			return
		}
	}
	p.once.Do(func() { close(p.mounted) })
}

func (p *process) fill(ctx context.Context, v corev1.Volume, secrets map[string]*corev1.Secret) (bool, error) {
	dir := p.volume(v.Name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return false, err
	}
	switch {
	case v.Secret != nil:
		return p.fillSecret(dir, v.Secret, secrets[v.Secret.SecretName])
	case v.Projected != nil && v.Name == "token":
		return true, p.fillToken(ctx, dir, v.Projected.Sources[0].ServiceAccountToken)
	}
	return true, nil
}

// fillSecret writes the keys that are asked for, like a kubelet: whole, and again when the Secret changed.
func (p *process) fillSecret(dir string, from *corev1.SecretVolumeSource, s *corev1.Secret) (bool, error) {
	optional := from.Optional != nil && *from.Optional
	if s == nil || p.seen[from.SecretName+"/"+dir] == s.ResourceVersion {
		return optional || s != nil, nil
	}
	files := map[string]string{}
	for key := range s.Data {
		files[key] = key
	}
	if len(from.Items) > 0 {
		files = map[string]string{}
		for _, item := range from.Items {
			files[item.Key] = item.Path
		}
	}
	for key, path := range files {
		value, ok := s.Data[key]
		if !ok && optional {
			continue
		}
		if !ok {
			return false, fmt.Errorf("Secret %s has no key %s", s.Name, key)
		}
		if err := write(filepath.Join(dir, path), value); err != nil {
			return false, err
		}
	}
	p.seen[from.SecretName+"/"+dir] = s.ResourceVersion
	return true, nil
}

// write replaces a file as a whole.
func write(path string, value []byte) error {
	if err := os.WriteFile(path+".new", value, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

func (p *process) fillToken(ctx context.Context, dir string, want *corev1.ServiceAccountTokenProjection) error {
	path := filepath.Join(dir, want.Path)
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	token, err := p.token(ctx, want.Audience, want.ExpirationSeconds)
	if err != nil {
		return err
	}
	return write(path, []byte(token))
}

// token is one of the pod's ServiceAccount.
func (p *process) token(ctx context.Context, audience string, seconds *int64) (string, error) {
	spec := authenticationv1.TokenRequestSpec{ExpirationSeconds: seconds}
	if audience != "" {
		spec.Audiences = []string{audience}
	}
	made, err := p.n.kube.CoreV1().ServiceAccounts(p.n.ns).CreateToken(ctx, p.pod.Spec.ServiceAccountName,
		&authenticationv1.TokenRequest{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return "", err
	}
	return made.Status.Token, nil
}

// kubeconfig reaches the API server with the rights of the pod's ServiceAccount.
func (p *process) kubeconfig() (string, error) {
	token, err := p.token(p.ctx, "", nil)
	if err != nil {
		return "", err
	}
	path := filepath.Join(p.n.dir, "pods", string(p.pod.UID), "kubeconfig")
	text := fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: u, user: {token: %q}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
`, p.n.plane.URL, filepath.Join(p.n.plane.Dir, "ca.crt"), token)
	return path, os.WriteFile(path, []byte(text), 0o600)
}
