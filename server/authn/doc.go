// Package authn turns a bearer token into a guard.Caller, and a Kubernetes workload's token into a bearer token
// (contract section 15, architecture section 6).
//
// Two kinds of token are kept, both opaque and both only as their SHA-256: personal tokens (`skt_`) that an
// administrator makes for people and pipelines, and exchanged tokens (`skx_`) that live for minutes. A JWT is never
// verified here: the only way in for one is Exchange, where the cluster that issued it says whose it is and an
// administrator's trust rule says what that identity may become.
package authn
