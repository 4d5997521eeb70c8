// Package audit owns the audit trail: what happened, who did it, to what, and whether it was allowed
// (contract section 11).
//
// It promises four things. An entry is durable before its answer leaves: Append returns after COMMIT, and
// Stage puts the entry into the transaction of the change it tells of. An entry is visible to queries as
// soon as it is durable. An entry cannot be edited, moved or dropped without Verify saying so. And no entry
// holds a secret's value: the fields are a fixed list, of bounded length, written by one encoder.
//
// The request path writes one block of encoded entries per commit and no index; an indexer follows in the
// background and queries merge what it has not reached (docs/adr/0002-audit-blocks.md).
package audit
