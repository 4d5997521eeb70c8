package template

import (
	"encoding/json"
	"fmt"
	"math/big"
	"strings"
)

// equal tells whether the first argument equals one of the others. Unlike text/template's eq it compares
// numbers of secrets, which stay as they were written, with numbers of the template.
func (b *budget) equal(first any, others ...any) (bool, error) {
	for _, o := range others {
		if err := b.check(); err != nil {
			return false, err
		}
		if c, ok := compare(first, o); ok && c == 0 {
			return true, nil
		}
	}
	return false, nil
}

func (b *budget) unequal(first, second any) (bool, error) {
	same, err := b.equal(first, second)
	return !same, err
}

func (b *budget) order(want func(int) bool) func(first, second any) (bool, error) {
	return func(first, second any) (bool, error) {
		c, ok := compare(first, second)
		if !ok {
			return false, failf("compares two values that have no order")
		}
		return want(c), b.check()
	}
}

// compare orders two numbers, two strings or two booleans; ok is false for anything else.
func compare(x, y any) (order int, ok bool) {
	if nx, isNumber := number(x); isNumber {
		ny, also := number(y)
		if !also {
			return 0, false
		}
		return nx.Cmp(ny), true
	}
	switch x := x.(type) {
	case string:
		if y, same := y.(string); same {
			return strings.Compare(x, y), true
		}
	case bool:
		if y, same := y.(bool); same && x == y {
			return 0, true
		}
		return 1, true
	case nil:
		return 0, y == nil
	}
	return 0, false
}

// number reads numbers of up to 64 characters; longer ones, and exponents that would fill memory, are none.
func number(v any) (*big.Float, bool) {
	text := ""
	switch v := v.(type) {
	case json.Number:
		text = v.String()
	case int, int64, float64:
		text = fmt.Sprint(v)
	default:
		return nil, false
	}
	if len(text) > 64 {
		return nil, false
	}
	f, _, err := big.ParseFloat(text, 10, 256, big.ToNearestEven)
	return f, err == nil
}
