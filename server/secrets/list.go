package secrets

import (
	"context"
	"strings"
	"time"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/pkg/vaultapi"
	"github.com/scailabs/scaivault/server/guard"
)

// DefaultPage is the size of a page where the caller names none (contract OC-1).
const DefaultPage = 100

const maxPage = 1000

// ListQuery says what to list.
type ListQuery struct {
	Prefix          string        // the beginning of paths, such as environments/staging/
	Limit           int           // 1 to 1000; there is no "all"
	Cursor          string        // of the page before
	IncludeMetadata bool          // metadata besides the tags
	ExpiringWithin  time.Duration // if not 0, only secrets that expire this soon, soonest first
}

// List gives the secrets on whose paths who holds permission list, in the order of their paths: no call is
// refused for want of it (contract OC-25). A page may be short, even empty, and still have more behind it,
// because the scan is bounded. Expired secrets are listed, deleted ones are not. Maps and lists of the items
// are shared: do not change them.
func (s *Service) List(ctx context.Context, who guard.Caller, q ListQuery) (vaultapi.SecretList, error) {
	a := guard.Access{Action: ActionList, Scope: ScopeList}
	return guard.Do(ctx, s.guard, who, a, func(c *guard.Call) (vaultapi.SecretList, error) {
		c.Note("prefix", q.Prefix)
		w, err := s.window(ctx, c, q)
		if err != nil {
			return vaultapi.SecretList{}, err
		}
		scan := s.scanPaths
		if q.ExpiringWithin != 0 {
			scan = s.scanExpiring
		}
		if err := scan(ctx, w); err != nil {
			return vaultapi.SecretList{}, err
		}
		c.Note("returned", len(w.page))
		return s.page(ctx, c, q, w)
	})
}

// window is one page being looked for.
type window struct {
	tenant   string
	prefix   string
	limit    int
	start    string // position where the page before ended; "": the beginning
	now      time.Time
	until    time.Time // of scanExpiring
	metadata bool
	allowed  func(path string) bool
	ranges   []policy.Range

	page     []*listed
	examined int
	queries  int
	stopped  string // position at which the bounds of the scan ended it; "": it came to the end
}

func (s *Service) window(ctx context.Context, c *guard.Call, q ListQuery) (*window, error) {
	w := &window{tenant: c.Who.Tenant, prefix: q.Prefix, limit: q.Limit, now: c.Now(), metadata: q.IncludeMetadata}
	w.until = w.now.Add(q.ExpiringWithin)
	if q.Limit < 1 || q.Limit > maxPage {
		return nil, invalid("limit", "limit must be 1 to %d", maxPage)
	}
	if q.ExpiringWithin < 0 {
		return nil, invalidDuration("expiring_within")
	}
	if err := checkPrefix(q.Prefix); err != nil {
		return nil, err
	}
	var err error
	if w.start, err = s.position(w.tenant, q); err != nil {
		return nil, err
	}
	w.allowed, w.ranges, err = s.guard.Allowed(ctx, c.Who, policy.List, policy.ClassSecrets)
	return w, err
}

// full tells that the page and one more secret, which proves that there is more, were found.
func (w *window) full() bool { return len(w.page) > w.limit }

// spent tells that the bounds of the scan are reached.
func (w *window) spent() bool { return w.examined >= maxExamined || w.queries >= maxQueries }

// chunk is how many rows the next query takes: a page and the row that proves there is more, then more and
// more while the caller may not list what comes.
func (w *window) chunk() int {
	size := w.limit + 1
	for range w.queries {
		if size *= 2; size >= maxPage {
			size = maxPage
			break
		}
	}
	w.queries++
	return max(size, w.limit+1)
}

// take looks at one row.
func (w *window) take(row *listed) {
	w.examined++
	if path := row.info.Path; !w.full() && !row.deleted && strings.HasPrefix(path, w.prefix) && w.allowed(path) {
		w.page = append(w.page, row)
	}
}

// page answers with what the scan found.
func (s *Service) page(ctx context.Context, c *guard.Call, q ListQuery, w *window) (vaultapi.SecretList, error) {
	at := w.stopped
	if w.full() {
		w.page = w.page[:w.limit]
		at = w.page[w.limit-1].position
	}
	list := vaultapi.SecretList{HasMore: at != ""}
	if list.HasMore {
		cursor, err := s.cursor(w.tenant, q, at)
		if err != nil {
			return vaultapi.SecretList{}, err
		}
		list.Cursor = &cursor
	}
	items, err := s.items(ctx, c, w)
	list.Secrets, list.Data = items, items
	return list, err
}

func (s *Service) items(ctx context.Context, c *guard.Call, w *window) ([]vaultapi.SecretInfo, error) {
	used, err := usageRows(ctx, s.db, w.tenant, day(c.Now()), w.paths())
	if err != nil {
		return nil, err
	}
	items := make([]vaultapi.SecretInfo, len(w.page))
	for i, row := range w.page {
		items[i] = row.info
		if !w.metadata {
			items[i].Metadata = nil
		}
		used[row.info.Path].show(&items[i])
	}
	return items, nil
}

func (w *window) paths() []string {
	paths := make([]string, len(w.page))
	for i, row := range w.page {
		paths[i] = row.info.Path
	}
	return paths
}
