package secrets

import "sync"

// maxPagedRows is how many rows of lists a tenant may have in memory: some 10 MiB.
const maxPagedRows = 20_000

// pages keeps what lists have read where this process is the only writer, until something of the tenant
// changes. The nil pages keep nothing.
type pages struct {
	mu      sync.Mutex
	tenants map[string]*tenantPages
}

// tenantPages counts changes, so that rows that were read before one are not put after it.
type tenantPages struct {
	changes uint64
	rows    int
	spans   map[span][]listed
}

// span is the query of one range.
type span struct {
	from, to string
	size     int
}

func newPages() *pages { return &pages{tenants: map[string]*tenantPages{}} }

func (p *pages) of(tenant string) *tenantPages {
	t := p.tenants[tenant]
	if t == nil {
		t = &tenantPages{spans: map[span][]listed{}}
		p.tenants[tenant] = t
	}
	return t
}

// get returns the rows of a span, shared, or a ticket to put them with.
func (p *pages) get(tenant string, s span) (rows []listed, known bool, ticket uint64) {
	if p == nil {
		return nil, false, 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.of(tenant)
	rows, known = t.spans[s]
	return rows, known, t.changes
}

// put keeps rows that were read after get gave the ticket, unless the tenant's secrets changed since.
func (p *pages) put(tenant string, s span, rows []listed, ticket uint64) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.of(tenant)
	if ticket != t.changes || t.spans[s] != nil {
		return
	}
	if t.rows += len(rows) + 1; t.rows > maxPagedRows {
		clear(t.spans)
		t.rows = len(rows) + 1
	}
	t.spans[s] = rows
}

// forget is called after the COMMIT of a change and before its caller is answered.
func (p *pages) forget(tenant string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	t := p.of(tenant)
	t.changes++
	t.rows = 0
	clear(t.spans)
}
