package reconcile

import (
	"context"
	"sync"
	"time"

	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
)

// Inbox lets others than watches put objects into a controller's queue: the vault's events. It is given
// to the controller as a raw source.
type Inbox struct {
	once  sync.Once
	ready chan struct{}
	queue workqueue.TypedRateLimitingInterface[ctrl.Request]
}

// NewInbox makes an Inbox whose controller has not started.
func NewInbox() *Inbox { return &Inbox{ready: make(chan struct{})} }

// Start takes the controller's queue. It is a source.Func.
func (i *Inbox) Start(_ context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	i.once.Do(func() {
		i.queue = q
		close(i.ready)
	})
	return nil
}

// Started tells whether the controller has started.
func (i *Inbox) Started() bool {
	select {
	case <-i.ready:
		return true
	default:
		return false
	}
}

// Add puts objects into the queue, to run after a time. It waits until the controller has started.
func (i *Inbox) Add(ctx context.Context, priority int, after time.Duration, reqs ...ctrl.Request) {
	select {
	case <-i.ready:
		Enqueue(i.queue, priority, after, reqs...)
	case <-ctx.Done():
	}
}

// Enqueue puts objects into a queue with a priority.
func Enqueue(q workqueue.TypedRateLimitingInterface[ctrl.Request], priority int, after time.Duration, reqs ...ctrl.Request) {
	if pq, ok := q.(priorityqueue.PriorityQueue[ctrl.Request]); ok {
		pq.AddWithOpts(priorityqueue.AddOpts{Priority: &priority, After: after}, reqs...)
		return
	}
	for _, r := range reqs {
		q.AddAfter(r, after)
	}
}
