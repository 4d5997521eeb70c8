// Package store keeps rows in SQLite or PostgreSQL behind one text per query.
//
// Queries use the subset both engines share: $1…$n by ordinal, TEXT, BIGINT, BLOB/BYTEA, times as BIGINT
// microseconds UTC, truth as BIGINT 0 or 1, JSON as TEXT, ON CONFLICT, RETURNING. What differs is in dialect.go.
//
// # Reads
//
// Query and QueryRow use a pool of readers and see committed rows only.
//
// # Writes
//
// Update, UpdateFallible and Append hand a closure (or a value) to a writer lane. A lane takes what is queued
// and runs it in one transaction, so that one sync of the disk serves many callers. The rules of such a batch:
//
//   - It runs on its own context. A caller's cancellation counts only until its closure starts: a cancelled
//     call either never ran, or is answered with its real outcome.
//   - Closures hold SQL only: no I/O, no locks, no call of Update. A closure may run more than once and must
//     set what it returns anew each time.
//   - AfterCommit callbacks and wake-ups run after COMMIT and before callers are answered; nobody is answered
//     before COMMIT returned.
//   - A closure that fails before it wrote or staged anything just gets its error.
//   - A fallible closure runs inside a savepoint; when it fails, what it wrote, staged and announced is undone
//     and the batch goes on.
//   - Any other failure (a closure that fails after a write, a statement that leaves the transaction unusable,
//     a finisher, a panic, the commit) poisons the batch: it is rolled back, each closure that ran runs once
//     more alone, finishers included, and is answered with its own result.
//   - A commit that fails when alone is ErrUnavailable. So is one whose outcome is unknown because the
//     connection broke during COMMIT; it is not run again.
//
// After a statement failed other than by a constraint on SQLite, the transaction takes no further statement,
// on either engine: a closure that ignores such an error cannot commit half of its work.
package store
