package secrets

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/scailabs/scaivault/internal/schedule"
	"github.com/scailabs/scaivault/pkg/vaultapi"
)

// defaultNotice is when an expiry is announced where the secret does not say (contract section 3.1).
const defaultNotice = "30d,7d,1d"

// mostNotices is how many thresholds a secret may have.
const mostNotices = 16

// encodeNotice checks thresholds and gives them as they are kept: longest first, each once. None is "".
func encodeNotice(t vaultapi.Thresholds) (string, error) {
	const field = "options.notify_before"
	texts := t.List()
	if len(texts) > mostNotices {
		return "", invalid(field, "%d thresholds; at most %d are kept", len(texts), mostNotices)
	}
	lengths := map[string]time.Duration{}
	for _, text := range texts {
		length, err := schedule.ParseDuration(text)
		if err != nil {
			return "", invalidDuration(field)
		}
		lengths[text] = length
	}
	slices.SortStableFunc(texts, func(a, b string) int { return cmp.Compare(lengths[b], lengths[a]) })
	texts = slices.CompactFunc(texts, func(a, b string) bool { return lengths[a] == lengths[b] })
	return strings.Join(texts, ","), nil
}

// notice is one announcement of an expiry; threshold is "" when it is the expiry itself.
type notice struct {
	at        time.Time
	threshold string
}

// notices are the announcements of an expiry in their order, the expiry itself last.
func notices(thresholds string, expires time.Time) ([]notice, error) {
	var all []notice
	for _, text := range vaultapi.Thresholds(thresholds).List() {
		length, err := schedule.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("stored thresholds: %w", err)
		}
		all = append(all, notice{expires.Add(-length), text})
	}
	return append(all, notice{at: expires}), nil
}

// firstNotice is when the expiry of a version that is written now is first announced. Thresholds that the new
// version's life does not exceed are not announced at all.
func firstNotice(all []notice, now time.Time) *int64 {
	for _, n := range all {
		if n.at.After(now) {
			return micros(n.at)
		}
	}
	return nil
}

// passed chooses what to announce at now of the notices from a time on: the newest that has passed, however many
// came before it while nobody looked. next is when to look again; nil: all is said.
func passed(all []notice, from, now time.Time) (newest *notice, next *int64) {
	for i, n := range all {
		switch {
		case n.at.Before(from):
		case n.at.After(now):
			return newest, micros(n.at)
		default:
			newest = &all[i]
		}
	}
	return newest, nil
}

func micros(t time.Time) *int64 {
	at := t.UnixMicro()
	return &at
}

// daysRemaining counts started days.
func daysRemaining(left time.Duration) int64 {
	const day = 24 * time.Hour
	return int64((left + day - 1) / day)
}
