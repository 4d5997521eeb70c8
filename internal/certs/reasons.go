package certs

// Reasons gives the reasons for a revocation, in snake_case, with their codes (RFC 5280, 5.3.1). A hold and its end are
// not among them: a revocation is final.
func Reasons() map[string]int {
	return map[string]int{
		"unspecified": 0, "key_compromise": 1, "ca_compromise": 2, "affiliation_changed": 3, "superseded": 4,
		"cessation_of_operation": 5, "privilege_withdrawn": 9, "aa_compromise": 10,
	}
}
