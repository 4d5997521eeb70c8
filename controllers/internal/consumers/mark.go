package consumers

import (
	"crypto/sha256"
	"encoding/hex"
	"strings"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// nameLimit is the greatest length of an annotation's name after its prefix, in Kubernetes.
const nameLimit = 63

// Mark is the annotation of a pod template that says which content of an object its pods were started for:
// scaivault.io/restart.<kind>.<name>, hashed where that is longer than Kubernetes allows.
func Mark(kind, name string) string {
	domain, begin, _ := strings.Cut(v1alpha1.AnnotationRestart, "/")
	readable := begin + strings.ToLower(kind) + "." + name
	if len(readable) <= nameLimit {
		return domain + "/" + readable
	}
	sum := sha256.Sum256([]byte(kind + "/" + name))
	return v1alpha1.AnnotationRestart + hex.EncodeToString(sum[:16])
}

// marks are those annotations of a pod template that are ours.
func marks(annotations map[string]string) map[string]string {
	ours := map[string]string{}
	for k, v := range annotations {
		if strings.HasPrefix(k, v1alpha1.AnnotationRestart) {
			ours[k] = v
		}
	}
	return ours
}
