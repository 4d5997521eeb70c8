package policy

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // windows name IANA zones, and a static image holds no zone files
)

// Conditions restrict a rule. All that are set must hold (contract section 5.1).
type Conditions struct {
	IPRanges   []netip.Prefix // nil: any address; empty but not nil: none
	RequireMFA bool
	TimeWindow *TimeWindow // nil: any time
}

// failure says which condition of a rule does not hold.
type failure uint8

const (
	holds failure = iota
	wrongAddress
	wrongTime
	noSecondFactor
)

// condition is the name that failed_condition gives.
func (f failure) condition() string {
	return [...]string{"", "ip_ranges", "time_window", "require_mfa"}[f]
}

// code is the error code of a request that only this condition held back.
func (f failure) code() string {
	return [...]string{CodeAccessDenied, CodeIPNotAllowed, CodeTimeWindow, CodeMFARequired}[f]
}

// failed returns the first condition that does not hold. The one that the subject can mend himself
// comes last: who is told to pass a second factor shall then get in.
func (c *Conditions) failed(sub *Subject) failure {
	switch {
	case c == nil:
		return holds
	case c.IPRanges != nil && !within(c.IPRanges, sub.IP):
		return wrongAddress
	case c.TimeWindow != nil && !c.TimeWindow.Contains(sub.Now):
		return wrongTime
	case c.RequireMFA && !sub.MFA:
		return noSecondFactor
	}
	return holds
}

func (c *Conditions) empty() bool {
	return c == nil || c.IPRanges == nil && c.TimeWindow == nil && !c.RequireMFA
}

func within(ranges []netip.Prefix, ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	return slices.ContainsFunc(ranges, func(r netip.Prefix) bool { return r.Contains(ip) })
}

// ParseIPRange reads a CIDR range; a bare address stands for itself. An IPv4 range is written as
// IPv4, because callers are compared that way.
func ParseIPRange(s string) (netip.Prefix, error) {
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		addr, addrErr := netip.ParseAddr(s)
		if addrErr != nil || addr.Zone() != "" {
			return netip.Prefix{}, fmt.Errorf("%.64q is not a CIDR range such as 10.0.0.0/8", s)
		}
		prefix = netip.PrefixFrom(addr, addr.BitLen())
	}
	if prefix.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%.64q is an IPv4 range in IPv6 form: write it as IPv4", s)
	}
	return prefix.Masked(), nil
}

// TimeWindow is a daily span of wall-clock time on some weekdays (OC-34). A window that ends before
// it begins goes over midnight and belongs to the day on which it begins.
type TimeWindow struct {
	days       [7]bool // by time.Weekday
	start, end int     // minutes after midnight, end exclusive
	zone       *time.Location
}

// NewTimeWindow makes a window of days (sun to sat; nil: every day), start and end (HH:MM, end also
// 24:00) and an IANA zone (empty: UTC). The error names the part that is wrong.
func NewTimeWindow(days []string, start, end, zone string) (*TimeWindow, error) {
	w := &TimeWindow{}
	if err := w.setDays(days); err != nil {
		return nil, err
	}
	var err error
	if w.start, err = minutes(start, 24*60-1); err != nil {
		return nil, fmt.Errorf("start: %w", err)
	}
	if w.end, err = minutes(end, 24*60); err != nil {
		return nil, fmt.Errorf("end: %w", err)
	}
	if w.start == w.end {
		return nil, errors.New("end: must differ from start; a whole day is 00:00 to 24:00")
	}
	if w.zone, err = location(zone); err != nil {
		return nil, err
	}
	return w, nil
}

func (w *TimeWindow) setDays(days []string) error {
	if days != nil && len(days) == 0 {
		return errors.New("days: must not be empty; leave it out for every day")
	}
	for _, day := range days {
		i := slices.Index([]string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}, day)
		if i < 0 {
			return fmt.Errorf("days: %.16q is not one of mon, tue, wed, thu, fri, sat, sun", day)
		}
		w.days[i] = true
	}
	if days == nil {
		w.days = [7]bool{true, true, true, true, true, true, true}
	}
	return nil
}

func location(zone string) (*time.Location, error) {
	if strings.EqualFold(zone, "local") {
		return nil, errors.New("timezone: must be an IANA name such as Europe/Amsterdam")
	}
	loc, err := time.LoadLocation(zone)
	if err != nil {
		return nil, fmt.Errorf("timezone: %.64q is not an IANA name such as Europe/Amsterdam", zone)
	}
	return loc, nil
}

// minutes reads HH:MM up to and including limit.
func minutes(s string, limit int) (int, error) {
	invalid := fmt.Errorf("%.16q is not a time such as 08:00", s)
	if len(s) != 5 || s[2] != ':' {
		return 0, invalid
	}
	for _, i := range []int{0, 1, 3, 4} {
		if s[i] < '0' || s[i] > '9' {
			return 0, invalid
		}
	}
	hour, minute := int(s[0]-'0')*10+int(s[1]-'0'), int(s[3]-'0')*10+int(s[4]-'0')
	if total := hour*60 + minute; minute < 60 && total <= limit {
		return total, nil
	}
	return 0, invalid
}

// Contains reports whether t lies in the window. The zero time lies in none.
func (w *TimeWindow) Contains(t time.Time) bool {
	if t.IsZero() {
		return false
	}
	t = t.In(w.zone)
	at, today := t.Hour()*60+t.Minute(), t.Weekday()
	if w.start < w.end {
		return w.days[today] && w.start <= at && at < w.end
	}
	yesterday := (today + 6) % 7
	return w.days[today] && at >= w.start || w.days[yesterday] && at < w.end
}
