package generate_test

import (
	"encoding/json"
	"io"
	"math"
	"strings"
	"testing"

	"github.com/scailabs/scaivault/internal/generate"
)

// many generates a recipe of one field often and returns what came out.
func many(t *testing.T, f generate.Field, times int) []string {
	t.Helper()
	r, err := generate.Parse([]generate.Field{f})
	if err != nil {
		t.Fatal(err)
	}
	from, all := drawn(7), make([]string, times)
	for i := range all {
		result, err := r.Generate(from, noon)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(result.Reveal()[f.Name], &all[i]); err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// even fails if counts, which should be equal, differ more than chance allows: the chi-square statistic is
// held to its mean and seven standard deviations, which one run in billions passes. The source is fixed,
// so the outcome is too.
func even(t *testing.T, counts map[string]int, classes int) {
	t.Helper()
	if len(counts) != classes {
		t.Fatalf("%d different outcomes, want %d", len(counts), classes)
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	expected, chi := float64(total)/float64(classes), 0.0
	for _, n := range counts {
		chi += (float64(n) - expected) * (float64(n) - expected) / expected
	}
	freedom := float64(classes - 1)
	if limit := freedom + 7*math.Sqrt(2*freedom); chi > limit {
		t.Errorf("chi-square %.1f of %d outcomes, at most %.1f is chance", chi, classes, limit)
	}
}

// A byte taken modulo 94 would make 68 of the characters half as likely again.
func TestCharactersAreEvenlyLikely(t *testing.T) {
	for charset, size := range map[string]int{"alphanumeric": 62, "alpha": 52, "numeric": 10, "hex": 16, "safe": 62, "ascii": 94} {
		t.Run(charset, func(t *testing.T) {
			counts := map[string]int{}
			for _, value := range many(t, field("f", "random", `{"length":4096,"charset":"`+charset+`"}`), 60) {
				for _, c := range strings.Split(value, "") {
					counts[c]++
				}
			}
			even(t, counts, size)
		})
	}
}

// Writing a required character into a place of its own, or replacing one, would make some strings likelier.
func TestStringsThatMeetRequirementsAreEvenlyLikely(t *testing.T) {
	counts := map[string]int{}
	for _, value := range many(t, field("f", "random", `{"length":2,"charset":"hex","require_digit":true}`), 100_000) {
		counts[value]++
	}
	even(t, counts, 16*16-6*6)
	counts = map[string]int{}
	for _, value := range many(t, field("f", "random", `{"length":2,"charset":"hex","require_digit":true,"require_lower":true}`), 60_000) {
		counts[value]++
	}
	even(t, counts, 2*10*6)
}

func TestTheSameSourceMakesTheSame(t *testing.T) {
	f := field("f", "template", `{"template":"{{uuid}}-{{random:8}}-{{hex:8}}"}`)
	a, b := many(t, f, 3), many(t, f, 3)
	if strings.Join(a, " ") != strings.Join(b, " ") || a[0] == a[1] {
		t.Errorf("%v and %v", a, b)
	}
}

// forever repeats one byte.
type forever byte

func (b forever) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = byte(b)
	}
	return len(p), nil
}

func TestABrokenSourceIsAnErrorAndNotASecret(t *testing.T) {
	for name, source := range map[string]io.Reader{"ended": strings.NewReader(""), "ends": strings.NewReader("abc"), "stuck": forever(255)} {
		for generator, config := range map[string]string{
			"random": `{"charset":"numeric"}`, "template": `{"template":"{{random:64}}"}`,
			"bcrypt_hash": `{"rounds":4}`,
		} {
			r, err := generate.Parse([]generate.Field{field("f", generator, config)})
			if err != nil {
				t.Fatal(err)
			}
			if result, err := r.Generate(source, noon); err == nil || len(result.Reveal()) > 0 {
				t.Errorf("%s from a source that %s: %v", generator, name, err)
			}
		}
	}
	r, err := generate.Parse([]generate.Field{field("f", "random", `{"require_digit":true}`)})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Generate(forever(0), noon); err == nil { // the letter a again and again
		t.Error("a stuck source meets a requirement that it cannot meet")
	}
}
