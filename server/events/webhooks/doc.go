// Package webhooks delivers events to receivers over https (contract section 12).
//
// A webhook is a cursor over its tenant's log. The dispatcher turns what a webhook selects into deliveries, in the
// transaction that moves the cursor, so every event becomes exactly one delivery whoever dies when, and event and
// delivery keep their ids. Sending is the work of a job for each webhook: it is due when its next delivery is. One
// worker of a process sends to a webhook, few deliveries at once, so a receiver that hangs holds up itself only. An
// attempt leases its delivery; one that ends with its process is made again when the lease is over, with the same
// ids: receivers get every event at least once.
//
// Subscriptions with webhook delivery have a webhook of their own that no list shows; what they get is judged by
// what their owner may list at that moment.
package webhooks
