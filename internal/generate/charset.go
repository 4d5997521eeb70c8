package generate

import "strings"

// The characters of each charset (contract section 7, OC-7). Each is at most 256 characters of ASCII.
const (
	lower        = "abcdefghijklmnopqrstuvwxyz"
	upper        = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	numeric      = "0123456789"
	alpha        = lower + upper
	alphanumeric = alpha + numeric
	hexadecimal  = numeric + "abcdef"
	symbols      = "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"
	ascii        = alphanumeric + symbols
	// safe is without 0 O o, 1 I l i, and of symbols only those that no shell takes for its own and that
	// cannot be mistaken for one another: no quotes, backslash, blank, dollar, bars, dots or brackets.
	safe = "abcdefghjkmnpqrstuvwxyz" + "ABCDEFGHJKLMNPQRSTUVWXYZ" + "23456789" + "%+-=@_^"
)

func charset(name string) string {
	switch name {
	case "alpha":
		return alpha
	case "numeric":
		return numeric
	case "hex":
		return hexadecimal
	case "safe":
		return safe
	case "ascii":
		return ascii
	default:
		return alphanumeric
	}
}

// requirement is a class of characters of which a value must have one.
type requirement struct {
	setting string // such as require_upper
	class   string
}

func (r requirement) metBy(value string) bool { return strings.ContainsAny(value, r.class) }
