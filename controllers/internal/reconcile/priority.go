package reconcile

// Priorities in the queue; a higher one goes first. What nobody has a Secret of yet goes ahead of what
// changed, and that goes ahead of what is only looked at again.
const (
	FirstPriority   = 100
	ChangePriority  = 10
	RefreshPriority = -100
)
