package guard

import (
	"encoding/json"

	"github.com/scailabs/scaivault/internal/policy"
	"github.com/scailabs/scaivault/server/fault"
)

// Events of calls that change nothing (contract section 12.4).
const (
	eventAccessed  = "secret.accessed"
	eventViolation = "policy.violation"
)

// Glimpser hears of calls that change nothing: reads of values and refusals by policies. Both are asked in the
// middle of a call and must be quick.
type Glimpser interface {
	// Wants tells whether anybody of a tenant asked for an event.
	Wants(tenant, event string) bool
	// Glimpse announces an event soon.
	Glimpse(e Event)
}

// glimpse announces what a call came to, if somebody asked for it.
func (g *Guard) glimpse(a Access, c *Call, err error) {
	switch {
	case g.Glimpses == nil || a.Permission == "":
	case err == nil && a.Permission == policy.Read && a.Class == policy.ClassSecrets && g.Glimpses.Wants(c.Who.Tenant, eventAccessed):
		g.tell(eventAccessed, a, c, accessedData{Version: c.noted("version"), Identity: c.Who.ID})
	case err != nil && refusedByPolicy(err) && g.Glimpses.Wants(c.Who.Tenant, eventViolation):
		g.tell(eventViolation, a, c, violationData{Permission: string(a.Permission), Reason: fault.Code(err)})
	}
}

type accessedData struct {
	Version  json.Number `json:"version,omitempty"`
	Identity string      `json:"identity"`
}

type violationData struct {
	Permission string `json:"permission"`
	Reason     string `json:"reason"` // access_denied or the condition that failed
}

func (g *Guard) tell(event string, a Access, c *Call, data any) {
	raw, err := json.Marshal(data)
	if err != nil {
		return // cannot be: both are made of texts and a number
	}
	g.Glimpses.Glimpse(Event{
		Tenant: c.Who.Tenant, Type: event, Path: a.Path, IdentityID: c.Who.ID, RequestID: c.Who.RequestID, Time: c.now, Data: raw,
	})
}

// noted is a number that the call noted.
func (c *Call) noted(key string) json.Number {
	for _, n := range c.notes {
		if n.Key == key {
			return json.Number(n.Value)
		}
	}
	return ""
}

// refusedByPolicy tells a policy's refusal from one for want of a scope or a role.
func refusedByPolicy(err error) bool {
	return fault.Is(err, fault.CodeAccessDenied, fault.CodeMFARequired, fault.CodeIPNotAllowed, fault.CodeTimeWindow)
}
