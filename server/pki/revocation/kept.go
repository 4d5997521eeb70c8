package revocation

import "sync"

// kept is a bounded memory. When it is full it forgets everything: what is asked for is soon there again.
type kept[K comparable, V any] struct {
	mu   sync.RWMutex
	most int
	all  map[K]V
}

func keep[K comparable, V any](most int) *kept[K, V] {
	return &kept[K, V]{most: most, all: map[K]V{}}
}

func (k *kept[K, V]) get(key K) (V, bool) {
	k.mu.RLock()
	defer k.mu.RUnlock()
	v, ok := k.all[key]
	return v, ok
}

func (k *kept[K, V]) put(key K, v V) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if _, ok := k.all[key]; !ok && len(k.all) >= k.most {
		clear(k.all)
	}
	k.all[key] = v
}
