package operator_test

import (
	"bufio"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	kube "sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/scailabs/scaivault/api/v1alpha1"
)

// A secret that two thousand objects read changes, and the queue is full. What nobody has a Secret of yet goes ahead
// of it all: a new object is Ready within a second, whenever in that time it comes.
func TestNewObjectGoesAheadOfRefreshes(t *testing.T) {
	const objects = 2000
	w := running(t)
	w.put(w.path("all"), map[string]any{"k": "1"})
	w.put(w.path("new"), map[string]any{"k": "new"})
	w.allowed()
	w.crowd(objects, w.path("all"))
	w.drained(objects, "k=1")

	seen := w.watch(&v1alpha1.VaultSecretList{})
	start := w.put(w.path("all"), map[string]any{"k": "2"})
	w.until("the queue", "full", func() string {
		if w.queued() > objects*3/4 {
			return "full"
		}
		return "not full"
	})
	created := 0
	for ; created < 3; created++ {
		waiting := w.queued()
		name := fmt.Sprint("new-", created)
		at := time.Now()
		w.create(name, w.path("new"))
		w.promised(fmt.Sprintf("a new object with %d in the queue → Ready", waiting), at, seen.await("Ready", becomes(name, "True/Synced")))
	}
	if n := w.queued(); n < objects/10 {
		t.Errorf("at the end only %d were waiting: the new objects came too late to show anything", n)
	}
	w.drained(objects, "k=2")
	t.Logf("%d objects followed within %s", objects, time.Since(start).Round(time.Millisecond))
	if err := w.kube.DeleteAllOf(t.Context(), &v1alpha1.VaultSecret{}, kube.InNamespace(w.ns)); err != nil {
		t.Fatal(err)
	}
	if err := w.kube.DeleteAllOf(t.Context(), &corev1.Secret{}, kube.InNamespace(w.ns), kube.HasLabels{v1alpha1.LabelManaged}); err != nil {
		t.Fatal(err)
	}
}

// crowd makes many objects that read one path. Their Secrets have no owner: to collect so many takes the garbage
// collector minutes, and the tests that follow wait for it as well.
func (w *world) crowd(n int, path string) {
	w.Helper()
	numbers := make(chan int, n)
	for i := range n {
		numbers <- i
	}
	close(numbers)
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for i := range numbers {
				v := w.declared(fmt.Sprint("all-", i), path, func(s *v1alpha1.VaultSecretSpec) { s.WhenDeleted = v1alpha1.RetainTarget })
				if err := w.kube.Create(w.Context(), v); err != nil {
					w.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// drained waits until the Secrets of all objects of a crowd hold something.
func (w *world) drained(objects int, want string) {
	w.Helper()
	w.within(2*time.Minute, "objects that are done", strconv.Itoa(objects), func() string { return strconv.Itoa(w.following(want)) })
}

func (w *world) following(want string) int {
	w.Helper()
	l := &corev1.SecretList{}
	if err := w.kube.List(w.Context(), l, kube.InNamespace(w.ns), kube.HasLabels{v1alpha1.LabelManaged}); err != nil {
		w.Fatal(err)
	}
	n := 0
	for _, s := range l.Items {
		if strings.HasPrefix(s.Name, "all-") && content(&s) == want {
			n++
		}
	}
	return n
}

// queued is how many VaultSecrets the operator says are waiting.
func (w *world) queued() int {
	w.Helper()
	resp, err := http.Get("http://" + w.operator.Metrics + "/metrics")
	if err != nil {
		w.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	n := 0
	for lines := bufio.NewScanner(resp.Body); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if strings.HasPrefix(name, "workqueue_depth{") && strings.Contains(name, `name="vaultsecret"`) {
			waiting, err := strconv.ParseFloat(value, 64)
			if err != nil {
				w.Fatal(err)
			}
			n += int(waiting)
		}
	}
	return n
}
