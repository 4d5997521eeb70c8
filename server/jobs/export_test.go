package jobs

// Queries of a loop's turn, for their plans.
func (q *Queue) Queries() (first, claim string) { return firstDue, q.claimQuery() }
