package webhooks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/events/webhooks"
)

// The signing secret changes while deliveries are pending: none is lost. They come signed with the new one, and as
// long as the overlap lasts with the old one as well, for a receiver that does not know the new one yet.
func TestSecretChangeLosesNothing(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		r.status.Store(http.StatusServiceUnavailable)
		hook := w.hook("changing", r)
		w.write("app/a", "app/b")
		w.until("both tried", func() bool { return r.count() >= 2 })
		next := vaultapi.SigningSecret("whsec_the-next-one-nobody-sees")
		got := w.patch(hook.ID, vaultapi.WebhookPatch{Secret: &next, PreviousSecretTTL: "1h"})
		if got.PreviousSecretExpiresAt == nil || got.PreviousSecretExpiresAt.Sub(w.clock.now().Add(time.Hour)).Abs() > 10*time.Second {
			w.Errorf("previous secret until %v", got.PreviousSecretExpiresAt)
		}
		before := r.count()
		r.status.Store(http.StatusOK)
		w.clock.advance(31 * time.Second)
		w.until("both delivered", func() bool { return len(w.deliveries(hook.ID, "success")) == 2 })
		for _, q := range r.requests()[before:] {
			if !signed(q, "X-ScaiVault-Signature", next.Reveal()) || !signed(q, "X-ScaiVault-Signature-Previous", signing) {
				w.Errorf("signatures %v", q.header)
			}
		}
		if n := w.count(`SELECT COUNT(*) FROM signing_secrets`); n != 2 {
			w.Errorf("%d secrets", n)
		}
		w.clock.advance(time.Hour)
		w.until("the old one is gone", func() bool { return w.count(`SELECT COUNT(*) FROM signing_secrets`) == 1 })
		before = r.count()
		w.write("app/c")
		w.until("one more", func() bool { return r.count() > before })
		q := r.requests()[before]
		if !signed(q, "X-ScaiVault-Signature", next.Reveal()) || q.header.Get("X-ScaiVault-Signature-Previous") != "" {
			w.Errorf("signatures %v", q.header)
		}
		if got := w.get(hook.ID); got.PreviousSecretExpiresAt != nil {
			w.Errorf("previous secret until %v", got.PreviousSecretExpiresAt)
		}
		third := vaultapi.SigningSecret("third")
		w.patch(hook.ID, vaultapi.WebhookPatch{Secret: &third}) // without a TTL the one before ends at once
		if n := w.count(`SELECT COUNT(*) FROM signing_secrets`); n != 1 {
			w.Errorf("%d secrets", n)
		}
	})
}

// The signing secret is nowhere: not in answers, the audit trail, the log, nor unsealed in the database. A secret
// that was moved to another webhook does not open.
func TestSigningSecretStaysHidden(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		hook, other := w.hook("one", r), w.hook("two", r)
		next := vaultapi.SigningSecret(signing + "-next")
		texts := []string{
			fmt.Sprintf("%v %+v %#v %s %q", next, vaultapi.WebhookWrite{Secret: next}, vaultapi.WebhookPatch{Secret: &next}, next, next),
			fmt.Sprintf("%+v", w.patch(hook.ID, vaultapi.WebhookPatch{Secret: &next, PreviousSecretTTL: "24h"})),
			fmt.Sprintf("%+v", w.get(hook.ID)),
		}
		long := vaultapi.SigningSecret(strings.Repeat(signing, 100))
		_, err := w.webhooks.Create(w.Context(), admin, vaultapi.WebhookWrite{Name: "long", URL: r.url, Secret: long})
		if err == nil {
			w.Error("a secret of 3 KB was accepted")
		}
		w.write("app/db")
		w.until("delivered", func() bool { return r.count() == 2 })
		texts = append(texts, fmt.Sprint(err), w.audit.String(), w.logged.String(), w.dump("signing_secrets", "uid", "wrapped", "sealed"), w.dump("deliveries", "id", "body", "problem"))
		for i, text := range texts {
			if strings.Contains(text, "whsec_") {
				w.Errorf("text %d holds the secret: %.300s", i, text)
			}
		}
		w.exec(`DELETE FROM signing_secrets WHERE webhook_id = $1`, other.ID)
		w.exec(`UPDATE signing_secrets SET webhook_id = $1 WHERE webhook_id = $2 AND expires_at IS NULL`, other.ID, hook.ID)
		if got, err := w.webhooks.Test(w.Context(), admin, other.ID); err == nil {
			w.Errorf("a moved secret signed: %+v", got)
		}
	})
}

// dump is what columns of a table hold.
func (w *world) dump(table string, columns ...string) string {
	w.Helper()
	rows, err := w.db.Query(w.Context(), `SELECT `+strings.Join(columns, ", ")+` FROM `+table)
	if err != nil {
		w.Fatal(err)
	}
	defer rows.Close()
	var b strings.Builder
	for rows.Next() {
		cells := make([][]byte, len(columns))
		dest := make([]any, len(columns))
		for i := range cells {
			dest[i] = &cells[i]
		}
		if err := rows.Scan(dest...); err != nil {
			w.Fatal(err)
		}
		fmt.Fprintf(&b, "%s\n", cells)
	}
	if err := rows.Err(); err != nil {
		w.Fatal(err)
	}
	return b.String()
}

func TestPurgeKeepsAWeek(t *testing.T) {
	each(t, func(w *world) {
		r := newReceiver(w)
		hook := w.hook("old", r)
		w.write("app/db")
		w.until("delivered", func() bool { return len(w.deliveries(hook.ID, "success")) == 1 })
		w.clock.advance(webhooks.Retention - 2*time.Hour)
		w.write("app/db")
		w.until("delivered", func() bool { return len(w.deliveries(hook.ID, "success")) == 2 })
		w.clock.advance(4 * time.Hour)
		w.until("the old one is gone", func() bool { return len(w.deliveries(hook.ID, "")) == 1 })
	})
}
