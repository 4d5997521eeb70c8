// Package egress makes the server's calls to addresses that users name, such as receivers of webhooks.
//
// Whoever may name an address must not reach through the server what he cannot reach himself: the server's own
// machine, its cluster, a cloud's metadata. So a call goes by https to a public address only. A name is resolved
// once for each connection, every address that it has is judged, and the connection is made to an address that
// was judged, so a name that means something else a moment later (DNS rebinding) gains nothing. Redirects are
// answers like any other and never followed, a proxy of the environment is not used, and what comes back is read
// within bounds.
package egress
