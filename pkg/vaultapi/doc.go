// Package vaultapi holds the wire types of the ScaiVault /v1 API: what the server answers and what every
// client sends. Field names are the contract's; see docs/spec/api.md for the rules behind them.
package vaultapi
