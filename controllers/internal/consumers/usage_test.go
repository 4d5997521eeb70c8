package consumers

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// Every way to use a Secret, one by one, and what looks like one and is none.
func TestUses(t *testing.T) {
	for name, c := range map[string]struct {
		pod  string
		want map[string]Usage
	}{
		"nothing": {`containers: [{name: a}]`, map[string]Usage{}},
		"env": {`containers: [{name: a, env: [{name: X, valueFrom: {secretKeyRef: {name: s, key: k}}}]}]`,
			map[string]Usage{"s": Env}},
		"optional env": {`containers: [{name: a, env: [{name: X, valueFrom: {secretKeyRef: {name: s, key: k, optional: true}}}]}]`,
			map[string]Usage{"s": Env}},
		"envFrom": {`containers: [{name: a, envFrom: [{prefix: P_, secretRef: {name: s}}]}]`, map[string]Usage{"s": Env}},
		"volume": {`
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{"s": File}},
		"projected": {`
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, projected: {sources: [{secret: {name: s}}, {configMap: {name: c}}, {secret: {name: t}}]}}]`,
			map[string]Usage{"s": File, "t": File}},
		"subPath": {`
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v, subPath: k}]}]
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{"s": Fixed}},
		"subPathExpr": {`
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v, subPathExpr: $(X)}]}]
volumes: [{name: v, projected: {sources: [{secret: {name: s}}]}}]`, map[string]Usage{"s": Fixed}},
		"init env": {`initContainers: [{name: a, envFrom: [{secretRef: {name: s}}]}]`, map[string]Usage{"s": Env}},
		"init file": {`
initContainers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{"s": Fixed}},
		"sidecar": {`
initContainers: [{name: a, restartPolicy: Always, volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{"s": File}},
		"ephemeral": {`
ephemeralContainers: [{name: a, env: [{name: X, valueFrom: {secretKeyRef: {name: e, key: k}}}], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{"e": Env, "s": File}},
		"every way at once": {`
initContainers: [{name: i, volumeMounts: [{name: v, mountPath: /v}]}]
containers:
- {name: a, envFrom: [{secretRef: {name: s}}], volumeMounts: [{name: v, mountPath: /v}, {name: v, mountPath: /w, subPath: k}]}
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{"s": Env | File | Fixed}},
		"volume that nobody mounts": {`
containers: [{name: a}]
volumes: [{name: v, secret: {secretName: s}}]`, map[string]Usage{}},
		"mount of no volume": {`containers: [{name: a, volumeMounts: [{name: none, mountPath: /v}]}]`, map[string]Usage{}},
		"config map of the name": {`
containers: [{name: a, env: [{name: X, valueFrom: {configMapKeyRef: {name: s, key: k}}}], envFrom: [{configMapRef: {name: s}}], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, configMap: {name: s}}]`, map[string]Usage{}},
		"what only the kubelet reads": {`
imagePullSecrets: [{name: s}]
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}, {name: w, mountPath: /w}, {name: x, mountPath: /x}]}]
volumes:
- {name: v, csi: {driver: d, nodePublishSecretRef: {name: s}}}
- {name: w, azureFile: {secretName: s, shareName: x}}
- {name: x, iscsi: {targetPortal: p, iqn: i, lun: 0, secretRef: {name: s}}}`, map[string]Usage{}},
		"names that are empty": {`
containers: [{name: a, env: [{name: X, valueFrom: {secretKeyRef: {key: k}}}, {name: Y}, {name: Z, valueFrom: {}}], envFrom: [{}, {secretRef: {}}], volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {}}, {name: w, projected: {}}, {name: x}]`, map[string]Usage{}},
		"two volumes of one name": {`
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: s}}, {name: v, secret: {secretName: t}}]`, map[string]Usage{"s": File, "t": File}},
		"a volume that is both": {`
containers: [{name: a, volumeMounts: [{name: v, mountPath: /v}]}]
volumes: [{name: v, secret: {secretName: s}, projected: {sources: [{secret: {name: t}}, {}]}}]`, map[string]Usage{"s": File, "t": File}},
	} {
		t.Run(name, func(t *testing.T) {
			var pod corev1.PodSpec
			if err := yaml.UnmarshalStrict([]byte(c.pod), &pod); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, Uses(&pod)); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// FuzzUses: whatever a template looks like, nothing breaks, every Secret that is said to be used is named in it, and
// it agrees with a second reading that knows nothing of the types.
func FuzzUses(f *testing.F) {
	f.Add([]byte(`{"containers":[{"env":[{"valueFrom":{"secretKeyRef":{"name":"s"}}}],"volumeMounts":[{"name":"v"},{"name":"v","subPath":"x"}]}],"volumes":[{"name":"v","secret":{"secretName":"t"}}]}`))
	f.Add([]byte(`{"initContainers":[{"restartPolicy":"Always","envFrom":[{"secretRef":{"name":"s"}}],"volumeMounts":[{"name":"v"}]}],"volumes":[{"name":"v","projected":{"sources":[{"secret":{"name":"t"}},null]}}]}`))
	f.Add([]byte(`{"ephemeralContainers":[{"volumeMounts":[{"name":"v","subPathExpr":"x"}]}],"volumes":[null,{"name":"v"}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var pod corev1.PodSpec
		if json.Unmarshal(raw, &pod) != nil {
			return
		}
		text, err := json.Marshal(&pod)
		if err != nil {
			return
		}
		var plain map[string]any
		if err := json.Unmarshal(text, &plain); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(naiveUses(plain), Uses(&pod)); diff != "" {
			t.Errorf("(-naive +got)\n%s", diff)
		}
	})
}

// naiveUses reads a pod as JSON, container by container and volume by volume, as the documentation tells it.
func naiveUses(pod map[string]any) map[string]Usage {
	of := map[string]Usage{}
	add := func(name any, how Usage) {
		if s, _ := name.(string); s != "" {
			of[s] |= how
		}
	}
	for _, kind := range []string{"containers", "initContainers", "ephemeralContainers"} {
		for _, c := range items(pod, kind) {
			for _, e := range items(c, "env") {
				add(at(e, "valueFrom", "secretKeyRef", "name"), Env)
			}
			for _, e := range items(c, "envFrom") {
				add(at(e, "secretRef", "name"), Env)
			}
			over := kind == "initContainers" && c["restartPolicy"] != "Always"
			for _, m := range items(c, "volumeMounts") {
				how := File
				if over || at(m, "subPath") != nil || at(m, "subPathExpr") != nil {
					how = Fixed
				}
				for _, v := range items(pod, "volumes") {
					if v["name"] != m["name"] {
						continue
					}
					add(at(v, "secret", "secretName"), how)
					projected, _ := v["projected"].(map[string]any)
					for _, s := range items(projected, "sources") {
						add(at(s, "secret", "name"), how)
					}
				}
			}
		}
	}
	return of
}

func items(in map[string]any, field string) (out []map[string]any) {
	list, _ := in[field].([]any)
	for _, x := range list {
		m, _ := x.(map[string]any)
		out = append(out, m)
	}
	return out
}

func at(in any, path ...string) any {
	for _, p := range path {
		m, _ := in.(map[string]any)
		in = m[p]
	}
	return in
}

// A mark is a legal annotation of our prefix, readable where it can be, and no two objects share one.
func TestMark(t *testing.T) {
	if got := Mark("VaultSecret", "billing.v2"); got != "scaivault.io/restart.vaultsecret.billing.v2" {
		t.Errorf("got %s", got)
	}
	long := strings.Repeat("a", 253)
	seen := map[string]string{}
	for _, kind := range []string{"VaultSecret", "DynamicLease"} {
		for _, name := range []string{"a", "b", long[:43], long[:44], long[:45], long, long[:252] + "b"} {
			m := Mark(kind, name)
			begin, rest, _ := strings.Cut(m, "/")
			if begin != "scaivault.io" || len(rest) > 63 || !strings.HasPrefix(m, v1alpha1.AnnotationRestart) {
				t.Errorf("%s %s: %s is no annotation of ours", kind, name, m)
			}
			if other := seen[m]; other != "" {
				t.Errorf("%s %s and %s share %s", kind, name, other, m)
			}
			seen[m] = kind + " " + name
		}
	}
}
