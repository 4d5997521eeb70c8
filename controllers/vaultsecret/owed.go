package vaultsecret

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/scailabs/scaivault/api/v1alpha1"
	"github.com/scailabs/scaivault/internal/schedule"
)

const (
	defaultDebounce = 10 * time.Second
	// restartRetry is how soon a restart that failed is tried again where nothing else asks for a run.
	restartRetry = 15 * time.Second
)

// checksum marks the content that a spec makes of secrets: SHA-256 over etags, templates and the keys' map. No value
// goes into it, so that nothing can be guessed from it.
func checksum(spec *v1alpha1.VaultSecretSpec, secrets []v1alpha1.SyncedSource) (string, error) {
	type source struct{ Name, Path, ETag string }
	of := struct {
		Sources  []source
		Data     []v1alpha1.DataEntry
		DataFrom []v1alpha1.DataFrom
	}{Data: spec.Data, DataFrom: spec.DataFrom}
	for _, y := range secrets {
		of.Sources = append(of.Sources, source{Name: y.Source, Path: y.Path, ETag: y.ETag})
	}
	raw, err := json.Marshal(of)
	if err != nil {
		return "", err
	}
	sum := sha256.Sum256(raw)
	return hex.EncodeToString(sum[:]), nil
}

// told is what the status says of restarts after content of a checksum was applied; differs tells whether the Secret
// was written since the status said what it is, which a run may have done that did not live to say so. What was there when restarts were asked for counts as known to the workloads, so that a
// first sync restarts nothing; so does a new version that changed none of the written keys.
func told(before *v1alpha1.RestartStatus, checksum string, differs bool, now time.Time) *v1alpha1.RestartStatus {
	if before == nil {
		return &v1alpha1.RestartStatus{Checksum: checksum}
	}
	after := before.DeepCopy()
	if differs && before.Checksum != checksum && before.Since == nil {
		since := metav1.NewMicroTime(now)
		after.Since = &since
	}
	after.Checksum = checksum
	return after
}

// owes tells whether workloads have to be told of content.
func owes(obj *v1alpha1.VaultSecret) bool {
	return obj.Spec.Restart.Active() && obj.Status.Restart != nil && obj.Status.Restart.Since != nil
}

// restartIn is how long the restart that an object owes is put off, so that further changes come into it.
func restartIn(obj *v1alpha1.VaultSecret, now time.Time) time.Duration {
	return obj.Status.Restart.Since.Add(debounce(obj.Spec.Restart)).Sub(now)
}

// debounce is that of an object; one that does not parse is refused by check and counts as absent.
func debounce(r *v1alpha1.Restart) time.Duration {
	d, err := schedule.ParseDuration(string(r.Debounce))
	if r.Debounce == "" || err != nil {
		return defaultDebounce
	}
	return d
}

// next is when to look at an object again without being told: at its refresh, for the restart that it owes, or for a
// listed workload that does not exist.
func next(obj *v1alpha1.VaultSecret, now time.Time) time.Duration {
	after := refresh(obj)
	if st := obj.Status.Restart; st != nil && len(st.Missing) > 0 {
		after = min(after, surveyEvery)
	}
	if !owes(obj) {
		return after
	}
	if left := restartIn(obj, now); left > 0 {
		return min(after, left)
	}
	return min(after, restartRetry)
}
