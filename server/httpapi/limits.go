package httpapi

import (
	"fmt"
	"slices"
	"strings"
)

// category is what a route counts against (contract section 16.2). Zero is none, so that a route without a
// category fails its test.
type category uint8

const (
	rateNone category = iota
	rateReadSecrets
	rateWriteSecrets
	rateDeleteSecrets
	rateList
	rateBatchRead
	rateBatchMetadata
	rateAuditQuery
	ratePolicy
	ratePolicyTest
	ratePreview // values made to look at: an RSA key costs a second of a processor
	rateRotation
	rateIssue
	ratePKI // what is not issued: reads and administration
	rateSubscription
	ratePoll
	rateWebhook
	rateIdentity
	rateSystem    // administrators' looks at the server itself
	rateAnonymous // calls without a token, and calls refused before their caller is known; per source
	rateStatus    // lists of revoked certificates and OCSP, per source: many clients may stand behind one address
	rateExchange  // token exchanges per source; failures count against authn's own, smaller budgets
	categories
)

// limitRow is one line of the documented table: calls per minute and identity.
type limitRow struct {
	name      string
	perMinute int
}

func documentedLimits() [categories]limitRow {
	return [categories]limitRow{
		rateReadSecrets:   {"read_secrets", 1000},
		rateWriteSecrets:  {"write_secrets", 100},
		rateDeleteSecrets: {"delete_secrets", 100},
		rateList:          {"list", 100},
		rateBatchRead:     {"batch_read", 100},
		rateBatchMetadata: {"batch_metadata", 100},
		rateAuditQuery:    {"audit_query", 50},
		ratePolicy:        {"policy", 50},
		ratePolicyTest:    {"policy_test", 200},
		ratePreview:       {"secret_policy_preview", 20},
		rateRotation:      {"rotation", 100},
		rateIssue:         {"pki_issue", 50},
		ratePKI:           {"pki_admin", 20},
		rateSubscription:  {"subscription", 20},
		ratePoll:          {"subscription_poll", 240},
		rateWebhook:       {"webhook", 20},
		rateIdentity:      {"identity", 300},
		rateSystem:        {"system", 300},
		rateAnonymous:     {"anonymous", 600},
		rateStatus:        {"pki_status", 6000},
		rateExchange:      {"exchange", 1200},
	}
}

// maxPerMinute keeps the time of one call above a nanosecond.
const maxPerMinute = 60_000_000

// table applies the profile and the overrides to the documented numbers.
func (l Limits) table() ([categories]limitRow, error) {
	rows := documentedLimits()
	factors := map[string]int{"documented": 1, "": 60, "cluster": 60, "unlimited": 60_000}
	factor, ok := factors[l.Profile]
	if !ok {
		return rows, fmt.Errorf("rate limit profile %q: want documented, cluster or unlimited", l.Profile)
	}
	for i := range rows {
		rows[i].perMinute = min(rows[i].perMinute*factor, maxPerMinute)
	}
	for name, perMinute := range l.PerMinute {
		i := slices.IndexFunc(rows[:], func(r limitRow) bool { return r.name == name })
		if i <= 0 || perMinute < 1 || perMinute > maxPerMinute {
			return rows, fmt.Errorf("rate limit %s=%d: want a number from 1 to %d for one of %s",
				name, perMinute, maxPerMinute, categoryNames(rows))
		}
		rows[i].perMinute = perMinute
	}
	return rows, nil
}

func categoryNames(rows [categories]limitRow) string {
	var names []string
	for _, r := range rows[1:] {
		names = append(names, r.name)
	}
	return strings.Join(names, ", ")
}
