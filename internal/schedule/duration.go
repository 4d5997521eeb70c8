// Package schedule holds the grammar of durations. It is pure, so that server, admission and CLI
// read the same string alike.
package schedule

import (
	"fmt"
	"math"
	"strings"
	"time"
)

// CodeInvalidDuration is the code of every DurationError (contract section 17).
const CodeInvalidDuration = "invalid_duration"

// DurationError says where and why a string is not a duration.
type DurationError struct {
	Code     string // always invalid_duration
	Value    string // as written, cut to 32 bytes
	Position int    // byte offset, from 0
	Rule     string // what was expected there
}

// Error implements error.
func (e *DurationError) Error() string {
	return fmt.Sprintf("duration %q, position %d: %s", e.Value, e.Position, e.Rule)
}

// units are in the order in which a sum must give them.
const units = "wdhms"

func lengthOf(unit byte) time.Duration {
	switch unit {
	case 'w':
		return 7 * 24 * time.Hour
	case 'd':
		return 24 * time.Hour
	case 'h':
		return time.Hour
	case 'm':
		return time.Minute
	default:
		return time.Second
	}
}

// ParseDuration reads a decimal integer with a unit s, m, h, d (24 h) or w (7 d), or a sum of such
// terms from the longest unit to the shortest, as in 1h30m (contract section 1.2, OC-3). The whole
// must be positive and at most about 292 years. The error is a *DurationError.
func ParseDuration(s string) (time.Duration, error) {
	p := parser{text: s}
	if s == "" {
		return 0, p.fail("expected a number and a unit, such as 15m")
	}
	var total time.Duration
	for p.at < len(s) {
		term, err := p.term()
		if err != nil {
			return 0, err
		}
		if term > math.MaxInt64-total {
			return 0, p.fail("the duration is too long")
		}
		total += term
	}
	if total == 0 {
		p.at = 0
		return 0, p.fail("a duration must be positive")
	}
	return total, nil
}

type parser struct {
	text string
	at   int
	unit int // the first unit that may still come
}

func (p *parser) fail(rule string) error {
	value := p.text
	if len(value) > 32 {
		value = value[:32]
	}
	return &DurationError{Code: CodeInvalidDuration, Value: value, Position: p.at, Rule: rule}
}

// term reads one number and its unit.
func (p *parser) term() (time.Duration, error) {
	start, number := p.at, int64(0)
	for ; p.at < len(p.text) && '0' <= p.text[p.at] && p.text[p.at] <= '9'; p.at++ {
		digit := int64(p.text[p.at] - '0')
		if number > (math.MaxInt64-digit)/10 {
			return 0, p.fail("the number is too large")
		}
		number = number*10 + digit
	}
	if p.at == start {
		return 0, p.fail("expected a digit; signs, blanks and fractions are not allowed")
	}
	length, err := p.length()
	if err != nil {
		return 0, err
	}
	if number > math.MaxInt64/int64(length) {
		p.at = start
		return 0, p.fail("the duration is too long")
	}
	p.at++
	return time.Duration(number) * length, nil
}

// length reads the unit at the current position without leaving it.
func (p *parser) length() (time.Duration, error) {
	if p.at == len(p.text) {
		return 0, p.fail("expected a unit: s, m, h, d or w")
	}
	unit := p.text[p.at]
	if i := strings.IndexByte(units, unit); i >= 0 {
		if i < p.unit {
			return 0, p.fail("units must go from the longest to the shortest, each once")
		}
		p.unit = i + 1
		return lengthOf(unit), nil
	}
	if unit == '.' || unit == ',' {
		return 0, p.fail("fractions are not allowed; write 1h30m instead of 1.5h")
	}
	return 0, p.fail("expected a unit: s, m, h, d or w")
}
