package audit

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/fault"
	"github.com/scailabs/scaivault/server/guard"
	"github.com/scailabs/scaivault/server/store"
	"github.com/scailabs/scaivault/server/store/storetest"
)

// written is every byte that the trail and the index over it hold.
func written(t *testing.T, db *store.DB) []byte {
	t.Helper()
	rows, err := db.Query(t.Context(), `SELECT body FROM audit_blocks`)
	must(t, err)
	defer func() { _ = rows.Close() }()
	var out bytes.Buffer
	for rows.Next() {
		var b []byte
		must(t, rows.Scan(&b))
		out.Write(b)
	}
	must(t, rows.Err())
	var derived string
	must(t, db.QueryRow(t.Context(), `SELECT (SELECT `+joined(db, "term")+` FROM audit_index) ||
		(SELECT `+joined(db, "identity_id || path || action")+` FROM audit_activity) || (SELECT `+joined(db, "body")+` FROM audit_checkpoints)`).Scan(&derived))
	return append(out.Bytes(), derived...)
}

// joined is the aggregate that puts texts together, which the engines name differently.
func joined(db *store.DB, what string) string {
	if db.Engine() == store.SQLite {
		return "GROUP_CONCAT(" + what + ")"
	}
	return "STRING_AGG(" + what + ", ',')"
}

func random(t *testing.T) string {
	t.Helper()
	b := make([]byte, 16)
	_, err := rand.Read(b)
	must(t, err)
	return hex.EncodeToString(b)
}

// A refactoring once stopped hashing tokens in the audit log: here no field could hold one. Whoever adds a field to
// guard.Entry has to decide what it may hold, and to write it down in this list.
func TestMistake35EntryHasAFixedListOfFields(t *testing.T) {
	want := []string{
		"Tenant", "Time", "Action", "IdentityType", "IdentityID", "Path", "Target", "SourceIP", "UserAgent",
		"RequestID", "Success", "Code", "Duration", "Count", "Notes",
	}
	var got []string
	for f := range reflect.TypeFor[guard.Entry]().Fields() {
		got = append(got, f.Name)
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("fields %v, want %v", got, want)
	}
	for f := range reflect.TypeFor[guard.Caller]().Fields() {
		if name := strings.ToLower(f.Name); strings.Contains(name, "bearer") || name == "token" {
			t.Errorf("a caller carries %s: a token could get into an entry", f.Name)
		}
	}
}

// Raw bodies and byte slices once went past redaction. A value that is noted by accident prints as nothing.
func TestMistake36ValuesDoNotGetIntoNotes(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		secret := random(t)
		values, err := vaultapi.NewValues([]byte(`{"password":"` + secret + `"}`))
		must(t, err)
		g := &guard.Guard{DB: db, Audit: l, Now: time.Now}
		_, err = guard.Do(t.Context(), g, auditor(tenant, "x"), guard.Access{Action: "read", Scope: "x", Path: "a/b"}, func(c *guard.Call) (int, error) {
			c.Note("data", values)
			c.Note("pointer", &values)
			c.Note("list", []vaultapi.Values{values})
			return 0, nil
		})
		must(t, err)
		must(t, l.Flush(t.Context()))
		if bytes.Contains(written(t, db), []byte(secret)) {
			t.Error("a value stands in the trail")
		}
	})
}

// A malformed payload was once echoed into the log: of a failure the trail holds the public code and nothing else.
func TestMistake37FailureLeavesOnlyItsCode(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		secret := random(t)
		g := &guard.Guard{DB: db, Audit: l, Now: time.Now}
		a := guard.Access{Action: "write", Scope: "x", Path: "a/b"}
		for _, cause := range []error{
			fmt.Errorf("invalid character in %q", secret),
			fault.Internal(fmt.Errorf("%s", secret), "decode %s", secret),
			fault.Invalid(fault.CodeInvalidRequest, "bad body: %s", secret).With("body", secret),
		} {
			if _, err := guard.Do(t.Context(), g, auditor(tenant, "x"), a, func(*guard.Call) (int, error) { return 0, cause }); err == nil {
				t.Fatal("the work's error is lost")
			}
			if _, err := guard.Change(t.Context(), g, auditor(tenant, "x"), a, func(*guard.Call) (int, error) { return 0, cause }); err == nil {
				t.Fatal("the change's error is lost")
			}
		}
		must(t, l.Flush(t.Context()))
		got := written(t, db)
		if bytes.Contains(got, []byte(secret)) {
			t.Error("what was wrong with the payload stands in the trail")
		}
		for _, code := range []string{fault.CodeInternal, fault.CodeInvalidRequest} {
			if !bytes.Contains(got, []byte(`"code":"`+code+`"`)) {
				t.Errorf("no entry has code %s", code)
			}
		}
	})
}

// On one authentication path headers were once dropped from the audit log: whatever the outcome and whatever the way
// into the trail, an entry says who, from where, with what and which request.
func TestMistake40EveryEntrySaysWhoAndWhence(t *testing.T) {
	storetest.Each(t, func(t *testing.T, db *store.DB) {
		l := newLog(t, db, time.Now, nil)
		g := &guard.Guard{DB: db, Audit: l, Events: silent{}, Now: time.Now}
		who := auditor(tenant, "x")
		work := func(*guard.Call) (int, error) { return 0, nil }
		for _, scope := range []string{"x", "y"} { // allowed and refused
			a := guard.Access{Action: "read", Scope: scope, Path: "a/b"}
			_, _ = guard.Do(t.Context(), g, who, a, work)
			_, _ = guard.Change(t.Context(), g, who, a, work)
			_, _ = guard.DoMany(t.Context(), g, who, a, []string{"a/b", "c"}, func(*guard.Call, string) (int, error) { return 0, nil })
		}
		list, err := l.page(t.Context(), tenant, "", Query{})
		must(t, err)
		if len(list.Logs) != 8 {
			t.Fatalf("%d entries, want 8", len(list.Logs))
		}
		for _, e := range list.Logs {
			if e.IdentityID != who.ID || e.IdentityType != who.Type || e.SourceIP != "192.0.2.7" || e.UserAgent != who.UserAgent || e.RequestID != who.RequestID {
				t.Errorf("entry lacks something: %+v", e)
			}
		}
	})
}

// silent emits nothing.
type silent struct{}

func (silent) Emit(*store.Tx, ...guard.Event) error { return nil }
