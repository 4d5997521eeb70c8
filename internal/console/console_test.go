package console

import (
	"errors"
	"fmt"
	"net/http"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/scailabs/scaivault/pkg/vaultapi"
)

func TestExitCodes(t *testing.T) {
	status := func(s int) error { return fmt.Errorf("call: %w", &vaultapi.Error{Status: s}) }
	for _, tc := range []struct {
		err  error
		want int
	}{
		{nil, 0},
		{errors.New("any"), 1},
		{status(http.StatusConflict), 1},
		{status(http.StatusTooManyRequests), 1},
		{status(http.StatusInternalServerError), 1},
		{status(http.StatusServiceUnavailable), 1},
		{status(http.StatusUnauthorized), 2},
		{status(http.StatusForbidden), 3},
		{status(http.StatusNotFound), 4},
		{Absent(errors.New("none")), 4},
		{status(http.StatusBadRequest), 5},
		{status(http.StatusRequestEntityTooLarge), 5},
		{status(http.StatusUnprocessableEntity), 5},
		{BadUsage("no"), 5},
		{errors.Join(nil, BadUsage("no")), 5},
	} {
		if got := ExitCode(tc.err); got != tc.want {
			t.Errorf("%v: exit code %d, want %d", tc.err, got, tc.want)
		}
	}
}

func TestErrorsAreOneLine(t *testing.T) {
	err := &vaultapi.Error{
		Status: http.StatusUnprocessableEntity, Code: "validation_error", Message: "two\nlines\x1b[2J",
		Details: map[string]any{"fields": map[string]any{"name": "is required", "events[0]": "is no\nevent"}},
	}
	want := `validation_error: two\nlines\x1b[2J: events[0] is no\nevent; name is required`
	if diff := cmp.Diff(want, Explained(err)); diff != "" {
		t.Errorf("line (-want +got):\n%s", diff)
	}
}
