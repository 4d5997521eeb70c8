package vaultapi

import (
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestThresholds(t *testing.T) {
	for raw, want := range map[string]Thresholds{
		`"7d,1d"`: "7d,1d", `["7d","1d"]`: "7d,1d", `[]`: "", `""`: "",
	} {
		var got Thresholds
		if err := json.Unmarshal([]byte(raw), &got); err != nil || got != want {
			t.Errorf("%s: %q, %v", raw, got, err)
		}
	}
	for _, raw := range []string{`7`, `[7]`, `{}`, `true`} {
		var got Thresholds
		if err := json.Unmarshal([]byte(raw), &got); err == nil {
			t.Errorf("%s is read as %q", raw, got)
		}
	}
	if diff := cmp.Diff([]string{"7d", "1d"}, Thresholds(" 7d, ,1d").List()); diff != "" {
		t.Error(diff)
	}
}
