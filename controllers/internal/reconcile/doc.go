// Package reconcile is the frame round every controller: get the object, guard deletion and
// suspension, run the steps in order, turn what they returned into conditions, events and the next
// run, and patch the status once, only if it changed.
//
// A step returns an error whose kind says what follows: Stalled (somebody has to act), Waiting (again
// after a known time), anything else (again with a growing delay). Steps never write status.
// No message in a condition or event may hold a value of a secret; the errors that steps return are
// made of names, paths, keys, sizes and codes only.
package reconcile
