package check

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/plan"
)

// withHints is lines with what each problem of a key given twice advises.
func withHints(problems []plan.Problem) string {
	problems = slices.Clone(problems)
	for i, p := range problems {
		if strings.Contains(p.Message, "twice") {
			problems[i].Message += " | " + p.Hint
		}
	}
	return lines(problems)
}

// lines writes problems one a line, as tests compare them.
func lines(problems []plan.Problem) string {
	var b strings.Builder
	for _, p := range problems {
		fmt.Fprintf(&b, "%s %s:%d %s\n", p.Severity, p.File, p.Line, p.Message)
	}
	return b.String()
}

func TestYAML(t *testing.T) {
	for name, test := range map[string]struct{ in, want string }{
		"fine":                 {"hub:\n  a: 1\n  b: [1, 2]\n", ""},
		"empty":                {"", ""},
		"comments alone":       {"# nothing\n", ""},
		"null":                 {"null\n", ""},
		"anchors and merges":   {"a: &a {x: 1}\nb:\n  <<: *a\n  x: 2\nc: *a\nd:\n  <<: [*a, {z: 1}]\n", ""},
		"same key in two maps": {"a: {x: 1}\nb: {x: 1}\n", ""},

		"twice":               {"a: 1\nb: 2\na: 3\n", "error v.yaml:3 a is set twice: the first value is lost | merge it with line 1, or remove one\n"},
		"twice in quotes":     {"a: 1\n'a': 3\n", "error v.yaml:2 a is set twice: the first value is lost | merge it with line 1, or remove one\n"},
		"twice, the same":     {"a: {x: 1}\nb: 2\na:\n  x: 1 # again\n", "warning v.yaml:3 a is set twice, with the same value | remove one; the first is on line 1\n"},
		"twice within":        {"hub:\n  config:\n    X: 1\n  db: {}\n  config:\n    Z: 1\n", "error v.yaml:5 hub.config is set twice: the first value is lost | merge it with line 2, or remove one\n"},
		"twice, dotted":       {"l:\n- a.b: 1\n  a.b: 2\n", "error v.yaml:3 l.0[\"a.b\"] is set twice: the first value is lost | merge it with line 2, or remove one\n"},
		"twice in a flow map": {"a: {x: 1,\n  x: 2}\n", "error v.yaml:2 a.x is set twice: the first value is lost | merge it with line 1, or remove one\n"},

		"two documents": {"a: 1\n---\nb: 1\n---\nc: 1\n", "error v.yaml:2 a second document starts here: only the first one of a values file is read\n"},
		"a list":        {"# list\n- a\n- b\n", "error v.yaml:2 the file is a list: a values file is a map of settings\n"},
		"text":          {"hello\n", "error v.yaml:1 the file is text: a values file is a map of settings\n"},
		"a complex key": {"a: 1\n? [x, y]\n: 1\n", "error v.yaml:2 a key is a list, but keys must be strings\n"},
		"merge of text": {"a: 1\nb:\n  <<: text\n", "error v.yaml:3 << merges text, but only maps can be merged\n"},

		"tab":                {"a:\n  b: 1\n\tc: 1\n", "error v.yaml:3 not valid YAML: found a tab character that violates indentation\n"},
		"tab first":          {"a:\n\tb: 1\n", "error v.yaml:2 not valid YAML: found character that cannot start any token\n"},
		"two colons":         {"a: 1\nb: c: d\n", "error v.yaml:2 not valid YAML: there is a key with a colon where a value belongs\n"},
		"two colons, first":  {"a: b: c\n", "error v.yaml:1 not valid YAML: there is a key with a colon where a value belongs\n"},
		"indented more":      {"a: 1\nx: 1\nb: d\n    c: 1\ne: 1\n", "error v.yaml:4 not valid YAML: there is a key with a colon where a value belongs\n"},
		"indented less":      {"a:\n    b: 1\n    c: 2\n  d: 3\ne: 1\n", "error v.yaml:4 not valid YAML: the line's indentation matches no line before it\n"},
		"far from its map":   {"h:\n  a: 1\n" + strings.Repeat("  b:\n    - c\n", 20) + " x: 1\nz: 1\n", "error v.yaml:43 not valid YAML: the line's indentation matches no line before it\n"},
		"key among items":    {"l:\n- a\n- b\nx: 1\n- c\n", "error v.yaml:5 not valid YAML: the line's indentation matches no line before it\n"},
		"item, then key":     {"- a\n- c\nb: c\n", "error v.yaml:3 not valid YAML: there is a key among the items of a list\n"},
		"bracket":            {"a: 1\nb: [1,\nc: 2\nd: 2\n", "error v.yaml:2 not valid YAML: a bracket is opened but not closed\n"},
		"quote":              {"a: 1\nb: \"x\nc: 2\nd: 2\n", "error v.yaml:2 not valid YAML: a quote that opens here is never closed\n"},
		"quote, first line":  {"b: \"x\nc: 2\nd: 2\n", "error v.yaml:1 not valid YAML: a quote that opens here is never closed\n"},
		"quote, last line":   {"b: 1\nc: 'x", "error v.yaml:2 not valid YAML: a quote that opens here is never closed\n"},
		"no colon":           {"a: 1\nb: 1\nfoo\nc: 1\n", "error v.yaml:3 not valid YAML: a line of a map has no colon\n"},
		"no space":           {"l:\n  - a\n  -b\n  - c\n", "error v.yaml:3 not valid YAML: a dash is not followed by a space\n"},
		"no colon, then map": {"a: 1\nb:\n  c\n    d: 1\n", "error v.yaml:4 not valid YAML: there is a key with a colon where a value belongs\n"},
		"no anchor":          {"a: 1\n# *there\nb: *there\nc: 1\n", "error v.yaml:3 not valid YAML: unknown anchor 'there' referenced\n"},
		"conflict":           {"a: 1\n<<<<<<< HEAD\nb: 1\n=======\nb: 2\n>>>>>>> x\n", "error v.yaml:2 not valid YAML: a line of a map has no colon\n"},
		"bad bytes":          {"a: 1\nb: \xff\n", "error v.yaml:2 the line is not valid UTF-8 text\n"},
		"control bytes":      {"a: 1\nb: \x01\n", "error v.yaml:2 not valid YAML: control characters are not allowed\n"},
		"own alias":          {"a: 1\nb: &b\n  c: *b\n", "error v.yaml:3 the alias *b is part of what it stands for\n"},

		"yes as a key":      {"a:\n  on: 1\n  'off': 1\n", "warning v.yaml:2 the key a.on is read as true\n"},
		"number as a key":   {"a:\n  1538208: 1\n  0x10: 1\n", "warning v.yaml:3 the key a.0x10 is read as 16\n"},
		"tag as a number":   {"image:\n  name: x\n  tag: 0.10\n", "warning v.yaml:3 image.tag: 0.10 is read as 0.1\n"},
		"tag with exponent": {"image:\n  tag: 1e5\n", "warning v.yaml:2 image.tag: 1e5 is read as 100000\n"},
		"octal tag":         {"image:\n  tag: 0755\n", "warning v.yaml:2 image.tag: 0755 is read as 493\n"},
		"tags that stay":    {"a: {tag: 1.25}\nb: {tag: 84d9c800dba0}\nc: {tag: '0.10'}\nd: {tag: 3.3.8}\ne: {tag: 6000e5694}\nf: {tag: }\ng: {tag: 20240101}\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if got := withHints(YAML("v.yaml", []byte(test.in))); got != test.want {
				t.Errorf("got:\n%swant:\n%s", got, test.want)
			}
		})
	}
}

func TestAnyYAMLTakesDocumentsAndLists(t *testing.T) {
	in := "on: push\n---\n- a\n---\ntext\n---\nb: 1\nb: 2\n"
	want := "error w.yaml:8 b is set twice: the first value is lost | merge it with line 7, or remove one\n"
	if got := withHints(AnyYAML("w.yaml", []byte(in))); got != want {
		t.Errorf("got:\n%swant:\n%s", got, want)
	}
}

// A document that is small as written, and a thousand million values when its
// aliases are followed.
func bomb() string {
	var b strings.Builder
	b.WriteString("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n")
	for i := 1; i < 9; i++ {
		one := fmt.Sprintf("*a%d", i-1)
		fmt.Fprintf(&b, "a%d: &a%d [%s]\n", i, i, strings.Join([]string{one, one, one, one, one, one, one, one, one, one}, ", "))
	}
	return b.String()
}

func TestYAMLIsBounded(t *testing.T) {
	for name, test := range map[string]struct {
		in   string
		want string
	}{
		"alias bomb":   {bomb(), "with its aliases expanded, the file has more than 1000000 values"},
		"deep flow":    {"a: " + strings.Repeat("[", 9000) + strings.Repeat("]", 9000), "are nested more than 100 deep"},
		"deeper flow":  {"a: " + strings.Repeat("[", 200_000), "not valid YAML"},
		"deep lists":   {"a:\n  " + strings.Repeat("- ", 5000) + "x\n", "are nested more than 100 deep"},
		"large":        {"a: " + strings.Repeat("x", maxYAMLSize), "the file has 10.0 MiB, but at most 10.0 MiB are read"},
		"many items":   {"a: [" + strings.Repeat("1,", 4_000_000) + "]\n", "has more than 1000000 values"},
		"many items 2": {"a:\n" + strings.Repeat("- 1\n", 1_001_000), "more than 1000000 values"},
		"many keys":    {strings.Repeat("a: 1\n", 100_000), "a is set twice"},
		"open quote":   {"a: '" + strings.Repeat("x\n\n", 300_000), "a quote that opens here"},
	} {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			got := YAML("v.yaml", []byte(test.in))
			if took := time.Since(start); took > time.Minute {
				t.Errorf("took %s", took)
			}
			if len(got) == 0 || len(got) > maxYAMLProblems || !strings.Contains(got[0].Message, test.want) {
				t.Errorf("got %d problems: %.300s", len(got), lines(got))
			}
		})
	}
}

func FuzzYAML(f *testing.F) {
	for _, seed := range []string{"a: 1\nb: [1\nc: 2\n", "a: &a {x: 1}\nb: {<<: *a}\n", "a: 0x10\non: 1\n? [x]\n: 1\n", "---\n- a\n---\nb: 'x\n", "a: &a [*a]\n", "tag: 1e5\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		total := strings.Count(string(data), "\n") + 1
		for _, p := range append(YAML("v.yaml", data), AnyYAML("v.yaml", data)...) {
			if p.Message == "" || p.Severity == "" || p.File != "v.yaml" || p.Line < 0 {
				t.Errorf("incomplete: %+v", p)
			}
			// The parser also ends lines at a carriage return and at three
			// characters of Unicode.
			if p.Line > total && !strings.ContainsAny(string(data), "\r\u0085\u2028\u2029") {
				t.Errorf("line %d of %d: %s", p.Line, total, p.Message)
			}
		}
	})
}
