package storetest

import (
	"testing"

	"github.com/scailabs/scaivault/server/store"
)

// Opener gives a test a fresh database that is closed when the test ends.
type Opener func(t *testing.T, change ...func(*store.Options)) *store.DB

// Run has a database that open gives pass the rules of package store. Each rule is a subtest with a name.
func Run(t *testing.T, open Opener) {
	t.Helper()
	for _, rule := range []struct {
		name string
		test func(t *testing.T, open Opener)
	}{
		{"GroupCommitCoalesces", groupCommit},
		{"CancelledBeforeStartNeverRuns", cancelledBeforeStart},
		{"CancelledAfterStartGetsItsOutcome", cancelledAfterStart},
		{"ErrorBeforeWriteHarmsNobody", errorBeforeWrite},
		{"ErrorAfterWritePoisonsAndOthersSucceedOnce", errorAfterWrite},
		{"IgnoredStatementErrorCannotCommitHalf", brokenStatement},
		{"FallibleUndoesOnlyItself", fallible},
		{"PanicPoisonsAndOthersSucceed", panics},
		{"FinisherErrorHitsOnlyItsOwn", finisherError},
		{"ValuesOfPoisonedBatchStayTogether", valuesTogether},
		{"StagesFinishInOrder", stages},
		{"NobodyIsAnsweredBeforeCommit", answeredAfterCommit},
		{"FailedCommitKeepsNothing", commitFails},
		{"FailedCommitOfBatchRunsEachAlone", commitFailsOnce},
		{"CloseDrains", closeDrains},
		{"EndedGoroutineIsReplaced", endedGoroutine},
		{"MixedCallersGetWhatTheyWereTold", mixed},
		{"PlaceholdersByOrdinal", placeholders},
		{"ValuesComeBack", values},
		{"Unique", unique},
		{"Returning", returning},
		{"Transaction", transactions},
		{"Wake", wakes},
		{"Readers", readersOnly},
	} {
		t.Run(rule.name, func(t *testing.T) { rule.test(t, open) })
	}
}
