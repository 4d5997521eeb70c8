// Package console is what the command-line programs share: where the vault is and who its user is, tables and
// JSON, commands that tell a user's mistake from a failure, and the exit codes.
package console
