package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root = "../.."
	page = "docs/security/mistakes.md"

	items = 63 // of the list that the page is about
	none  = "None yet:"
)

// row is one line of the page's table.
type row struct {
	item  int
	ours  string
	tests []string // file and function, with a blank between
}

// The page lists every item once, in order. Each names tests that exist, or says why there is none yet; and every
// test that is named after an item stands at that item.
func TestMistakesPage(t *testing.T) {
	rows, declared := readPage(t), testFuncs(t)
	if len(rows) != items {
		t.Errorf("%d rows, want %d", len(rows), items)
	}
	listed := map[int][]string{}
	for i, r := range rows {
		if r.item != i+1 {
			t.Errorf("row %d is about item %d", i+1, r.item)
		}
		if (len(r.tests) == 0) != strings.HasPrefix(r.ours, none) {
			t.Errorf("item %d names %d tests and says %q", r.item, len(r.tests), r.ours)
		}
		for _, test := range r.tests {
			if !slices.Contains(declared, test) {
				t.Errorf("item %d names %s, which does not exist", r.item, test)
			}
		}
		listed[r.item] = r.tests
	}
	for _, test := range declared {
		for _, item := range itemsOf(test) {
			if !slices.Contains(listed[item], test) {
				t.Errorf("%s is not listed at item %d", test, item)
			}
		}
	}
}

func readPage(t *testing.T) (rows []row) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(root, page))
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^\| (\d+) \| ([^|]+) \| ([^|]+) \|$`)
	for text := range strings.SplitSeq(string(raw), "\n") {
		m := line.FindStringSubmatch(text)
		if m == nil {
			if regexp.MustCompile(`^\| *\d`).MatchString(text) {
				t.Errorf("this row cannot be read: %s", text)
			}
			continue
		}
		item, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row{item: item, ours: m[3], tests: named(t, m[3])})
	}
	return rows
}

// named lists the tests of a cell: names of functions in code type, each after the file that declares it.
func named(t *testing.T, cell string) (tests []string) {
	t.Helper()
	file := ""
	for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(cell, -1) {
		switch word := m[1]; {
		case strings.HasSuffix(word, "_test.go"):
			file = word
		case regexp.MustCompile(`^(Test|Fuzz)[A-Z0-9]`).MatchString(word):
			tests = append(tests, file+" "+word)
		case strings.Contains(word, "/"):
			if _, err := os.Stat(filepath.Join(root, word)); err != nil {
				t.Errorf("%v", err)
			}
		}
	}
	return tests
}

// testFuncs lists every test and fuzz target of the tree as named does.
func testFuncs(t *testing.T) (all []string) {
	t.Helper()
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && strings.HasPrefix(d.Name(), "."):
			return fs.SkipDir
		case !strings.HasSuffix(path, "_test.go"):
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		path, err = filepath.Rel(root, path)
		for _, decl := range file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil {
				all = append(all, filepath.ToSlash(path)+" "+f.Name.Name)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// itemsOf tells after which items a test is named: TestMistake13And14NamespacesStayApart after 13 and 14.
func itemsOf(test string) (out []int) {
	name := regexp.MustCompile(` TestMistake((?:\d\d)(?:And\d\d)*)`).FindStringSubmatch(test)
	if name == nil {
		return nil
	}
	for number := range strings.SplitSeq(name[1], "And") {
		item, err := strconv.Atoi(number)
		if err != nil {
			panic(err) // two digits
		}
		out = append(out, item)
	}
	return out
}
