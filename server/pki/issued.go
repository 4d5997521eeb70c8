package pki

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/scailabs/scaivault/server/store"
)

const (
	authorityIssued = `SELECT CAST(COALESCE(SUM(issued), 0) AS BIGINT) FROM pki_issued WHERE tenant = $1 AND ca_id = $2`
	issuedAdd       = `INSERT INTO pki_issued (tenant, ca_id, lane, issued) VALUES ($1, $2, $3, $4)
	ON CONFLICT (tenant, ca_id, lane) DO UPDATE SET issued = pki_issued.issued + excluded.issued`
)

// signed is staged for every certificate that is stored, so that an authority's are counted once a batch.
type signed struct{ tenant, ca string }

// countSigned adds what a batch stored to the counts of its authorities, always in the same order: batches of other
// replicas take the same rows.
func countSigned(tx *store.Tx, values []any) error {
	counts := map[signed]int64{}
	for _, v := range values {
		by, ok := v.(signed)
		if !ok {
			return fmt.Errorf("count certificates: staged %T", v)
		}
		counts[by]++
	}
	for _, by := range slices.SortedFunc(maps.Keys(counts), func(a, b signed) int {
		return cmp.Or(cmp.Compare(a.tenant, b.tenant), cmp.Compare(a.ca, b.ca))
	}) {
		if _, err := tx.Exec(issuedAdd, by.tenant, by.ca, tx.Lane(), counts[by]); err != nil {
			return fmt.Errorf("count certificates of %s: %w", by.ca, err)
		}
	}
	return nil
}
