package audit

import (
	"strconv"
	"strings"
)

// Writing.
const (
	insertWriter = `INSERT INTO audit_writers (writer, owner, seen_at) VALUES ($1, $2, $3) ON CONFLICT (writer) DO NOTHING`
	insertChain  = `INSERT INTO audit_chains (tenant, writer) VALUES ($1, $2) ON CONFLICT (tenant, writer) DO NOTHING`
	insertBlock  = `INSERT INTO audit_blocks (tenant, writer, first_seq, last_seq, first_at, last_at, hash, body)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`
	selectBlockHash = `SELECT hash FROM audit_blocks WHERE tenant = $1 AND writer = $2 AND first_seq = $3`
)

// Indexing.
const (
	selectChain = `SELECT indexed_seq, target_seq, step FROM audit_chains WHERE tenant = $1 AND writer = $2`
	updateChain = `UPDATE audit_chains SET indexed_seq = $3, target_seq = $4, step = $5,
		max_span = CASE WHEN $6 > max_span THEN $6 ELSE max_span END WHERE tenant = $1 AND writer = $2`
	selectUnindexed = `SELECT first_seq, last_seq, first_at, last_at, body FROM audit_blocks
		WHERE tenant = $1 AND writer = $2 AND first_seq > $3 AND last_seq <= $4 ORDER BY first_seq LIMIT $5`
	// selectBehind lists the chains of an owner's writers that have entries beyond the index.
	selectBehind = `SELECT tenant, writer, indexed_seq, last_seq FROM (
		SELECT c.tenant, c.writer, c.indexed_seq, ` + lastSeq + ` AS last_seq
		FROM audit_writers w JOIN audit_chains c ON c.writer = w.writer WHERE w.owner = $1 AND w.closed = 0
		) AS ends WHERE last_seq > indexed_seq`
)

// lastSeq and lastHash are the end of chain c. As scalars they cost one look into the index per chain; as a join
// planners are tempted to read all blocks.
const (
	lastSeq  = `(SELECT b.last_seq FROM audit_blocks b WHERE b.tenant = c.tenant AND b.writer = c.writer ORDER BY b.first_seq DESC LIMIT 1)`
	lastHash = `(SELECT b.hash FROM audit_blocks b WHERE b.tenant = c.tenant AND b.writer = c.writer ORDER BY b.first_seq DESC LIMIT 1)`
)

// Querying.
const (
	selectTails = `SELECT writer, indexed_seq FROM (SELECT c.writer, c.indexed_seq, ` + lastSeq + ` AS last_seq
		FROM audit_chains c WHERE c.tenant = $1) AS ends WHERE last_seq > indexed_seq`
	selectTail = `SELECT first_seq, first_at, last_at FROM audit_blocks
		WHERE tenant = $1 AND writer = $2 AND first_seq > $3 AND last_at >= $4 AND first_at <= $5`
	selectMaxSpan = `SELECT COALESCE(MAX(max_span), 0) FROM audit_chains WHERE tenant = $1`
	selectIndex   = `SELECT last_at, writer, first_seq, blocks FROM audit_index
		WHERE tenant = $1 AND term = $2 AND last_at >= $3 AND first_at <= $4 AND last_at <= $5
		AND (last_at, writer, first_seq) < ($5, $6, $7) ORDER BY last_at DESC, writer DESC, first_seq DESC LIMIT $8`
	selectBodies = `SELECT first_seq, body FROM audit_blocks WHERE tenant = $1 AND writer = $2 AND first_seq IN (`
)

// Summing up. The first half of selectSums is the state of the chains, the second what is summed; a SUM of BIGINT is
// NUMERIC on PostgreSQL, hence the CAST.
const (
	selectTailBodies = `SELECT first_seq, body FROM audit_blocks WHERE tenant = $1 AND writer = $2 AND first_seq > $3`
	sumsHead         = `SELECT 0, writer, step, '', 0, indexed_seq, target_seq, 0 FROM audit_chains WHERE tenant = $1
		UNION ALL
		SELECT 1, identity_id, path, action, success, CAST(SUM(events) AS BIGINT), MIN(first_at), MAX(last_at)
		FROM audit_activity WHERE tenant = $1 AND hour >= $2 AND hour <= $3`
	sumsGroup          = ` GROUP BY identity_id, path, action, success`
	selectSums         = sumsHead + sumsGroup
	selectPathSums     = sumsHead + ` AND path = $4` + sumsGroup
	selectIdentitySums = sumsHead + ` AND identity_id = $4` + sumsGroup
)

// Ends of all chains, and of one writer's.
const (
	selectHeads       = `SELECT c.tenant, c.writer, ` + lastSeq + `, ` + lastHash + ` FROM audit_chains c`
	selectWriterHeads = selectHeads + ` WHERE c.writer = $1`
)

// Verifying.
const (
	selectNextWriter  = `SELECT writer FROM audit_blocks WHERE tenant = $1 AND writer > $2 ORDER BY writer LIMIT 1`
	selectCheckpoints = `SELECT id, at, body, key_id, signature FROM audit_checkpoints
		WHERE (at, id) < ($1, $2) ORDER BY at DESC, id DESC LIMIT $3`
	selectChainBlocks = `SELECT first_seq, last_seq, first_at, last_at, hash, body FROM audit_blocks
		WHERE tenant = $1 AND writer = $2 AND first_seq > $3 ORDER BY first_seq LIMIT $4`
)

// Looking after writers.
const (
	selectOpenWriters = `SELECT writer, seen_at FROM audit_writers WHERE closed = 0 AND owner <> $1`
	claimWriter       = `UPDATE audit_writers SET owner = $1, seen_at = $2 WHERE writer = $3 AND seen_at = $4 AND closed = 0`
	beatWriters       = `UPDATE audit_writers SET seen_at = $1 WHERE owner = $2 AND closed = 0`
	keepWriter        = `UPDATE audit_writers SET owner = $1, closed = 0 WHERE writer = $2`
	closeWriter       = `UPDATE audit_writers SET closed = 1 WHERE writer = $1 AND owner = $2`
)

// What the indexer writes.
const (
	insertIndex    = `INSERT INTO audit_index (tenant, term, last_at, writer, first_seq, first_at, blocks) VALUES `
	insertActivity = `INSERT INTO audit_activity (tenant, identity_id, hour, path, action, success, events, first_at, last_at) VALUES `
	insertReads    = `INSERT INTO secret_reads (tenant, path, day, reads, last) VALUES `
	addActivity    = ` ON CONFLICT (tenant, identity_id, hour, path, action, success) DO UPDATE SET
		events = audit_activity.events + excluded.events,
		first_at = CASE WHEN excluded.first_at < audit_activity.first_at THEN excluded.first_at ELSE audit_activity.first_at END,
		last_at = CASE WHEN excluded.last_at > audit_activity.last_at THEN excluded.last_at ELSE audit_activity.last_at END`
	addReads = ` ON CONFLICT (tenant, path, day) DO UPDATE SET reads = secret_reads.reads + excluded.reads,
		last = CASE WHEN excluded.last > secret_reads.last THEN excluded.last ELSE secret_reads.last END`
)

// upsert is how rows of one table are written: one, or rowsPerQuery at once.
type upsert struct {
	columns   int
	one, many string
}

func newUpsert(insert string, columns int, conflict string) upsert {
	return upsert{columns, insert + tuples(1, columns) + conflict, insert + tuples(rowsPerQuery, columns) + conflict}
}

func newUpserts() map[table]upsert {
	return map[table]upsert{
		tableIndex:    newUpsert(insertIndex, 7, ""),
		tableActivity: newUpsert(insertActivity, 9, addActivity),
		tableReads:    newUpsert(insertReads, 5, addReads),
	}
}

// tuples is n lists of numbered parameters, such as ($1,$2),($3,$4).
func tuples(n, columns int) string {
	lists := make([]string, n)
	for i := range lists {
		lists[i] = "(" + placeholders(1+i*columns, columns) + ")"
	}
	return strings.Join(lists, ",")
}

// placeholders is n numbered parameters, such as $3,$4.
func placeholders(from, n int) string {
	names := make([]string, n)
	for i := range names {
		names[i] = "$" + strconv.Itoa(from+i)
	}
	return strings.Join(names, ",")
}
