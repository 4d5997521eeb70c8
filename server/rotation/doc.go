// Package rotation owns rotation policies, the secrets assigned to them, and what was rotated (contract section 6).
//
// A policy says when (an interval from each secret's last rotation, or the slots of a cron in a time zone) and how: the
// server generates a new value, or announces that somebody has to write one. Each assignment has one job, due at the
// next thing that is to be done for it: announce a threshold, rotate, say that nobody wrote, try again.
//
// It promises that a rotation's version, audit entry, events, history and next time are one transaction with the end
// of its job, so that none is lost and none is done twice, whichever process ends when; that a server which was off
// for a week rotates once; and that what cannot be rotated is seen: in the due list, the policy's failed_count, the
// history and rotation.failed, and is tried again.
package rotation
