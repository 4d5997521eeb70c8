// Package jobs runs work that is due: rows with a time, claimed by one loop.
//
// A job is a row (kind, tenant, key) with a time from which it is due. Whoever has something to do later calls
// Schedule in the transaction that makes it necessary, so that neither exists without the other. Every replica
// runs the queue. A claim is one short UPDATE that moves the row's time behind the lease and gives it a new
// fence; no lock is held while the work is done, and a row that is claimed costs no more than one that is not
// due. A claim that ends with its process comes due again when its lease is over; on
// SQLite, where there is no other process, when the next one starts.
//
// What a job does to the database happens exactly once: the worker calls Finish in the transaction of the
// effect, and Finish refuses with ErrLost, which undoes all of it, where the claim is no longer the worker's,
// because its lease was over and another claimed the job, or because it was rescheduled or cancelled meanwhile.
// What a job does elsewhere may happen more than once and must be idempotent by the job's key.
//
// Kinds are apart: each has a loop and workers of its own, so that a slow kind delays no other.
//
// # Time
//
// On PostgreSQL a claim goes by the database's clock, which all replicas share, on SQLite by the store's. A clock
// that jumps forward makes jobs due early and ends leases early, which the fences make harmless. A clock that
// jumps back leaves claims and retries of the false future behind, far from due: the loop sees the jump, and at
// its start supposes one, and makes them due.
package jobs
