package generate

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/google/uuid"
)

// MaxLength is how many characters a generated string may have.
const MaxLength = 4096

// drawing is a string to be drawn.
type drawing struct {
	set    string
	length int
	needs  []requirement
}

// maxDraws is far beyond bad luck: of the strings that Parse lets through, one in twenty or more
// meets its requirements.
const maxDraws = 10_000

// make draws whole strings until one meets the requirements: each that does is equally likely.
func (d drawing) make(s source) ([]any, error) {
	for range maxDraws {
		value, err := s.draw(d.set, d.length)
		if err != nil {
			return nil, err
		}
		if d.met(value) {
			return []any{value}, nil
		}
	}
	return nil, errors.New("the source of randomness repeats itself")
}

func (d drawing) met(value string) bool {
	for _, need := range d.needs {
		if !need.metBy(value) {
			return false
		}
	}
	return true
}

// draw draws characters, each with the same chance: a byte beyond the largest multiple of the set's
// size is drawn again, because the remainder alone would favour the first characters.
func (s source) draw(set string, length int) (string, error) {
	value := make([]byte, 0, length)
	even := 256 - 256%len(set)
	for refused := 0; len(value) < length; {
		var b [1]byte
		if _, err := io.ReadFull(s.random, b[:]); err != nil {
			return "", fmt.Errorf("draw at random: %w", err)
		}
		if int(b[0]) < even {
			value = append(value, set[int(b[0])%len(set)])
		} else if refused++; refused > maxDraws+length {
			return "", errors.New("the source of randomness repeats itself")
		}
	}
	return string(value), nil
}

// randomField draws characters of a charset. Where a symbol is required and no charset is given, it is safe.
func (c *config) randomField(name string) field {
	d := drawing{length: c.number("length", span{1, MaxLength, DefaultLength}), needs: c.requirements()}
	known := []string{"alphanumeric", "alpha", "numeric", "hex", "safe", "ascii"}
	for _, need := range d.needs {
		if need.setting == "require_symbol" {
			known[0], known[4] = known[4], known[0]
		}
	}
	chosen := c.choice("charset", known...)
	d.set = charset(chosen)
	for _, need := range d.needs {
		if !need.metBy(d.set) {
			c.refuse(need.setting, "charset %s has no such character", chosen)
		}
	}
	if len(d.needs) > d.length {
		c.refuse("length", "must be at least %d, one character for each requirement", len(d.needs))
	}
	return field{names: []string{name}, random: true, make: d.make}
}

func (c *config) requirements() []requirement {
	var on []requirement
	for _, r := range []requirement{
		{"require_upper", upper}, {"require_lower", lower}, {"require_digit", numeric}, {"require_symbol", symbols},
	} {
		if c.flag(r.setting) {
			on = append(on, r)
		}
	}
	return on
}

// hexField draws lower-case hex characters: 64 of them are 256 bits.
func (c *config) hexField(name string) field {
	d := drawing{set: hexadecimal, length: c.number("length", span{1, MaxLength, 64})}
	return field{names: []string{name}, random: true, make: d.make}
}

func (c *config) uuidField(name string) field {
	version := c.oneOfNumbers("version", 4, 7)
	return field{names: []string{name}, random: true, make: func(s source) ([]any, error) {
		id, err := s.uuid(version)
		return []any{id}, err
	}}
}

// uuid is of version 4, or of version 7: the milliseconds of now and then randomness (RFC 9562).
func (s source) uuid(version int) (string, error) {
	id, err := uuid.NewRandomFromReader(s.random)
	if err != nil {
		return "", fmt.Errorf("draw at random: %w", err)
	}
	if version == 7 {
		var at [8]byte
		binary.BigEndian.PutUint64(at[:], uint64(s.now.UnixMilli()))
		copy(id[:6], at[2:])
		id[6] = id[6]&0x0f | 0x70
	}
	return id.String(), nil
}

func (s source) timestamp() string { return strconv.FormatInt(s.now.Unix(), 10) }
