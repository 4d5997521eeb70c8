package schedule

import (
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // IANA zones, where the machine has none

	"github.com/robfig/cron/v3"
)

// Cron gives the slots of five cron fields (minute, hour, day of month, month, day of week) in a time zone. Where
// both days are restricted either will do, as in crontab(5).
//
// A slot that the clocks skip in spring is at the moment at which they jump; one that comes twice in autumn is the
// first of the two. So each slot comes exactly once, and slots are in order.
type Cron struct {
	slots cron.Schedule // on the zone's wall clock, as if it were UTC
	zone  *time.Location
}

const (
	maxCron  = 256 // bytes
	cronText = "0123456789*,-/? abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"

	// longestSearch is what the parser's own search covers. Between two 29ths of February lie up to eight years.
	longestSearch = 4 * 366 * 24 * time.Hour
	longestGap    = 25 * time.Hour // by which a zone's clocks were ever changed at once, and an hour
)

// CronError says what is wrong with a cron text or its zone.
type CronError struct {
	Field string // cron | time_zone
	Rule  string
}

// Error implements error.
func (e *CronError) Error() string { return e.Field + ": " + e.Rule }

// ParseCron reads cron fields and an IANA zone; an empty zone is UTC. Fields that no day ever meets, such as
// 0 0 30 2 *, are refused. The error is a *CronError.
func ParseCron(text, zone string) (Cron, error) {
	if zone == "Local" { // the machine's own: every replica might have another
		return Cron{}, &CronError{"time_zone", "must be an IANA name such as Europe/Amsterdam"}
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return Cron{}, &CronError{"time_zone", fmt.Sprintf("%.64q is not an IANA name such as Europe/Amsterdam", zone)}
	}
	if len(text) > maxCron || strings.Trim(text, cronText) != "" || strings.ContainsFunc(text, foreign) {
		return Cron{}, &CronError{"cron", "must be five fields: minute, hour, day of month, month, day of week, such as 0 3 * * 6"}
	}
	parsed, err := cron.NewParser(cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow).Parse(text)
	if err != nil {
		return Cron{}, &CronError{"cron", fmt.Sprintf("must be five fields such as 0 3 * * 6: %v", err)}
	}
	if spec, ok := parsed.(*cron.SpecSchedule); ok {
		spec.Location = time.UTC
	}
	c := Cron{slots: parsed, zone: loc}
	if c.following(time.Unix(0, 0).UTC()).IsZero() {
		return Cron{}, &CronError{"cron", "no date ever meets these fields"}
	}
	return c, nil
}

func foreign(r rune) bool { return !strings.ContainsRune(cronText, r) }

// Next is the first slot after a time.
func (c Cron) Next(after time.Time) time.Time {
	local := after.In(c.zone)
	wall := wallOf(local)
	if since, _ := local.ZoneBounds(); !since.IsZero() && after.Sub(since) < longestGap {
		wall = wall.Add(-longestGap) // a slot before the change may be after it by the wall clock, and the reverse
	}
	for {
		wall = c.following(wall)
		if at := c.moment(wall); at.After(after) {
			return at
		}
	}
}

// following is the first slot after a time of the wall clock; zero if there is none.
func (c Cron) following(wall time.Time) time.Time {
	for range 3 {
		if next := c.slots.Next(wall); !next.IsZero() {
			return next
		}
		wall = wall.Add(longestSearch)
	}
	return time.Time{}
}

// wallOf is what the clocks show, written as UTC.
func wallOf(t time.Time) time.Time {
	return time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), time.UTC)
}

// moment is when the zone's clocks first show a time, or jump over it.
func (c Cron) moment(wall time.Time) time.Time {
	_, before := wall.Add(-longestGap).In(c.zone).Zone()
	_, behind := wall.Add(longestGap).In(c.zone).Zone()
	early := wall.Add(-time.Duration(max(before, behind)) * time.Second).In(c.zone)
	late := wall.Add(-time.Duration(min(before, behind)) * time.Second).In(c.zone)
	switch {
	case wallOf(early).Equal(wall):
		return early.UTC()
	case wallOf(late).Equal(wall):
		return late.UTC()
	}
	jump, _ := late.ZoneBounds()
	return jump.UTC()
}

// shortest is the least time between two of the slots that follow a time.
func (c Cron) shortest(from time.Time) time.Duration {
	const slots = 120
	least := longestSearch
	at := c.Next(from)
	for range slots {
		next := c.Next(at)
		least, at = min(least, next.Sub(at)), next
	}
	return least
}
