package vaultapi

import (
	"encoding/json"
	"testing"
)

// TestMistake11EmptyListsAreSent: an empty array skipped the permission check (CVE-2026-43638). An encoder that
// leaves an empty list out would turn "from nowhere" into "from anywhere"; sent as it is, the vault refuses it.
func TestMistake11EmptyListsAreSent(t *testing.T) {
	for want, v := range map[string]any{
		`{"ip_ranges":[]}`: Conditions{IPRanges: []string{}},
		`{}`:               Conditions{},
		`{"days":[],"start":"08:00","end":"18:00"}`: TimeWindow{Days: []string{}, Start: "08:00", End: "18:00"},
		`{"start":"08:00","end":"18:00"}`:           TimeWindow{Start: "08:00", End: "18:00"},
		`{"subject_token":"x","allowed_paths":[]}`:  ExchangeRequest{SubjectToken: "x", AllowedPaths: []string{}},
		`{"path_pattern":"a","permissions":[]}`:     Rule{PathPattern: "a", Permissions: []string{}},
		`{"paths":[]}`:                              SubscriptionPatch{Paths: &[]string{}},
	} {
		got, err := json.Marshal(v)
		if err != nil || string(got) != want {
			t.Errorf("%+v is sent as %s, %v, want %s", v, got, err, want)
		}
	}
}
