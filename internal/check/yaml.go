package check

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/plan"
)

const (
	// maxYAMLSize bounds one file, in bytes.
	maxYAMLSize = 10 << 20
	// maxYAMLNodes bounds the values of one file, aliases followed.
	maxYAMLNodes = 1_000_000
	// maxYAMLDepth bounds how deep maps and lists stand within one another.
	maxYAMLDepth = 100
	// maxYAMLProblems bounds what is said of one file.
	maxYAMLProblems = 50
	// maxSearched is the largest file, in bytes, that is read again and again
	// to find the line of a mistake.
	maxSearched = 1 << 20
)

// YAML judges a values file: it must be one YAML document, a map or nothing,
// in which no key is given twice. Keys and image tags that YAML takes for
// something else than what is written are pointed out.
func YAML(name string, data []byte) []plan.Problem {
	return yamlFile(name, data, true)
}

// AnyYAML judges any other YAML file: several documents and a list on top are
// fine there, and so are words that YAML reads as true and false.
func AnyYAML(name string, data []byte) []plan.Problem {
	return yamlFile(name, data, false)
}

func yamlFile(name string, data []byte, values bool) []plan.Problem {
	report := &reporter{name: name, check: CheckYAML}
	docs := documents(report, data, values)
	for _, doc := range docs {
		w := walker{reporter: report, values: values, sizes: map[*yaml.Node]int{}}
		if values && !w.isMap(doc) {
			continue
		}
		if w.size(doc, 0) > maxYAMLNodes {
			w.add(plan.Error, w.bombLine, fmt.Sprintf("with its aliases expanded, the file has more than %d values", maxYAMLNodes),
				"write out what the aliases stand for, or use fewer")
			continue
		}
		if !w.refused {
			w.walk(doc, nil)
		}
	}
	sortByLine(report.problems)
	return report.problems
}

// documents parses the file. What keeps it from being parsed is reported, and
// then there are no documents, or only those before the mistake.
func documents(report *reporter, data []byte, single bool) []*yaml.Node {
	if len(data) > maxYAMLSize {
		report.add(plan.Error, 0, fmt.Sprintf("the file has %s, but at most %s are read", megabytes(len(data)), megabytes(maxYAMLSize)),
			"keep data out of configuration: mount it, or build it into an image")
		return nil
	}
	if line := invalidText(data); line > 0 {
		report.add(plan.Error, line, "the line is not valid UTF-8 text", "save the file as UTF-8")
		return nil
	}
	if marks := countMarks(data); marks > 2*maxYAMLNodes {
		report.add(plan.Error, 0, fmt.Sprintf("the file has more than %d values", maxYAMLNodes), "keep data out of configuration")
		return nil
	}
	// An unterminated last line would put the end of the file on it, which
	// makes a mistake there and a mistake found at the end look the same.
	if !bytes.HasSuffix(data, []byte("\n")) {
		data = append(bytes.Clone(data), '\n')
	}
	var out []*yaml.Node
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		doc := &yaml.Node{}
		err := decode(dec, doc)
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			message, hint := explainYAML(err)
			line := mistakeLine(data, err)
			if dash := bytes.TrimLeft(nthLine(data, line), " "); len(dash) > 1 && dash[0] == '-' && !bytes.ContainsAny(dash[1:2], " -\t\r\n") {
				message, hint = "not valid YAML: a dash is not followed by a space", ""
			}
			report.add(plan.Error, line, message, hint)
			return out
		}
		if len(out) == 1 && single {
			report.add(plan.Error, doc.Line, "a second document starts here: only the first one of a values file is read", "remove the line of dashes")
			return out
		}
		if len(out) == 10_000 {
			report.add(plan.Error, doc.Line, "the file has more than 10000 documents", "split it")
			return out
		}
		out = append(out, doc)
	}
}

// decode reads one document; the parser's own panics become errors.
func decode(dec *yaml.Decoder, into *yaml.Node) (err error) {
	defer func() {
		if recover() != nil {
			err = errors.New("yaml: the parser gave up")
		}
	}()
	return dec.Decode(into)
}

// countMarks bounds the number of values from above, without parsing.
func countMarks(data []byte) int {
	n := bytes.Count(data, []byte("\n"))
	for _, mark := range []string{",", "[", "{", ": ", "- "} {
		n += bytes.Count(data, []byte(mark))
	}
	return n
}

// invalidText returns the first line that is not UTF-8, or 0. UTF-16 with its
// mark is left to the parser.
func invalidText(data []byte) int {
	if utf8.Valid(data) || bytes.HasPrefix(data, []byte{0xff, 0xfe}) || bytes.HasPrefix(data, []byte{0xfe, 0xff}) {
		return 0
	}
	n := 0
	for line := range bytes.Lines(data) {
		n++
		if !utf8.Valid(line) {
			return n
		}
	}
	return n
}

var (
	yamlLine    = regexp.MustCompile(`^yaml: line (\d+): `)
	yamlControl = regexp.MustCompile(`[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]`)
)

// mistakeLine is the line of a mistake. The parser names the line on which the
// map or text began that it was reading, and counts some from 0; so the
// shortest part of the file is searched that has the same mistake.
func mistakeLine(data []byte, err error) int {
	text := err.Error()
	total := bytes.Count(data, []byte("\n"))
	said := 0
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		said, _ = strconv.Atoi(m[1])
	}
	switch {
	case strings.Contains(text, "control characters"):
		if at := yamlControl.FindIndex(data); at != nil {
			return lineAt(data, at[0])
		}
	case strings.Contains(text, "unexpected end of stream"):
		if said > total {
			// The parser leaves out that the text began on the first line.
			return 1
		}
		return max(said, 1)
	case strings.Contains(text, "did not find expected ',' or"):
		// Said is the line on which the bracket is opened, unless that is the
		// first.
		if said < total && bytes.ContainsAny(nthLine(data, said+1), "[{") {
			return said + 1
		}
	}
	if len(data) > maxSearched || total == 0 {
		return min(max(said, 1), max(total, 1))
	}
	return shortest(data, text, total)
}

// nthLine is the line of that number, from 1.
func nthLine(data []byte, n int) []byte {
	for line := range bytes.Lines(data) {
		if n--; n == 0 {
			return line
		}
	}
	return nil
}

// shortest returns how many lines of the file are needed for the mistake.
func shortest(data []byte, text string, total int) int {
	ends := make([]int, 0, total)
	for at, c := range data {
		if c == '\n' {
			ends = append(ends, at+1)
		}
	}
	low, high := 1, len(ends)
	for low < high {
		middle := (low + high) / 2
		if sameMistake(data[:ends[middle-1]], text) {
			high = middle
		} else {
			low = middle + 1
		}
	}
	return low
}

func sameMistake(data []byte, text string) bool {
	for dec := yaml.NewDecoder(bytes.NewReader(data)); ; {
		var doc yaml.Node
		if err := decode(dec, &doc); err != nil {
			return err.Error() == text
		}
	}
}

// explainYAML says what the parser means. Its own words never quote a value.
func explainYAML(err error) (message, hint string) {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindString(err.Error()); m != "" {
		text = strings.TrimPrefix(err.Error(), m)
	}
	switch {
	case strings.Contains(text, "tab character"), strings.Contains(text, "cannot start any token"):
		return "not valid YAML: " + text, "indent with spaces, not tabs; quote text that begins with @, ` or %"
	case strings.Contains(text, "mapping values are not allowed"):
		return "not valid YAML: there is a key with a colon where a value belongs", "check the indentation, and that the key on the line before has its colon; quote text that contains a colon and a space"
	case strings.Contains(text, "expected ':'"):
		return "not valid YAML: a line of a map has no colon", "write `key: value`"
	case strings.Contains(text, "unexpected end of stream"):
		return "not valid YAML: a quote that opens here is never closed", ""
	case strings.Contains(text, "did not find expected ',' or"):
		return "not valid YAML: a bracket is opened but not closed", ""
	case strings.Contains(text, "did not find expected key"):
		return "not valid YAML: the line's indentation matches no line before it", "indent the keys of one map equally"
	case strings.Contains(text, "did not find expected '-' indicator"):
		return "not valid YAML: there is a key among the items of a list", "check the indentation"
	}
	return "not valid YAML: " + text, ""
}

func megabytes(n int) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// reporter collects the problems of one file.
type reporter struct {
	name     string
	check    string
	problems []plan.Problem
}

func (r *reporter) add(s plan.Severity, line int, message, hint string) {
	if len(r.problems) < maxYAMLProblems {
		r.problems = append(r.problems, plan.Problem{Severity: s, Check: r.check, Message: message, Hint: hint, File: r.name, Line: line})
	}
}
