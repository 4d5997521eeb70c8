// Package generate makes the values of secrets by recipe (contract section 7, OC-7). It is pure:
// server, admission and CLI check a recipe alike, and randomness and time are handed in.
//
// Parse refuses what could never be met; Generate then fails only if its source of randomness does.
// What is drawn is drawn evenly: characters by rejection, and a string with requirements by drawing
// the whole string again until it meets them, so that every string that meets them is as likely as
// any other.
package generate
