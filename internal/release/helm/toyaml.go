package helm

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"helm.sh/helm/v4/pkg/chart/common"
	"sigs.k8s.io/yaml"
)

// Bounds of what is written here rather than by the library.
const (
	maxYAMLDepth = 100
	maxYAMLKey   = 100 // bytes; much longer keys are written in another form
	foldWidth    = 80  // characters of a line, after which a text is folded
	noFold       = -1
)

// errTooLarge says that a value makes too large a text.
var errTooLarge = errors.New("the value produces too large a text")

// marshalYAML returns a value as the SDK's toYaml does, byte for byte, which
// fuzzing against it has to prove. The SDK writes JSON, reads that as YAML, and
// writes the result: most of the time of a render. Values and texts of usual
// forms are written here at once, all others by the library.
func marshalYAML(v any) (string, error) {
	w := yamlWriter{buf: make([]byte, 0, 512)}
	switch {
	case w.root(v):
		return string(w.buf), nil
	case w.huge:
		return "", errTooLarge
	}
	out, err := yaml.Marshal(v)
	if err != nil {
		return "", err
	}
	return strings.TrimSuffix(string(out), "\n"), nil
}

// yamlWriter writes values as YAML. Its methods say whether they could: where
// they could not, nothing that was written counts.
type yamlWriter struct {
	buf  []byte
	huge bool
}

// root writes a value without the last line's end.
func (w *yamlWriter) root(v any) bool {
	switch v := v.(type) {
	case map[string]any:
		return w.top(len(v) > 0 && w.mapping(v, 0, false), v == nil, len(v) == 0, "{}")
	case common.Values:
		return w.root(map[string]any(v))
	case []any:
		return w.top(len(v) > 0 && w.sequence(v, 0, false), v == nil, len(v) == 0, "[]")
	case string:
		return !strings.Contains(v, "\n") && w.scalar(v, 2)
	default:
		return w.simple(v)
	}
}

func (w *yamlWriter) top(written, null, empty bool, whenEmpty string) bool {
	switch {
	case null:
		w.buf = append(w.buf, "null"...)
	case empty:
		w.buf = append(w.buf, whenEmpty...)
	case !written:
		return false
	default:
		w.buf = w.buf[:len(w.buf)-1]
	}
	return true
}

// mapping writes the lines of a map. started says that its first line has
// begun already, after the dash of a list's item.
func (w *yamlWriter) mapping(m map[string]any, indent int, started bool) bool {
	if indent > 2*maxYAMLDepth {
		return false
	}
	keys := make([]string, 0, len(m))
	for k := range m {
		if !plainKey(k) {
			return false
		}
		keys = append(keys, k)
	}
	// The library's order has circles among keys with leading zeros: they come
	// out in no certain order there, and always in the same one here.
	slices.Sort(keys)
	slices.SortFunc(keys, naturalOrder)
	for i, k := range keys {
		if i > 0 || !started {
			w.indent(indent)
		}
		if !w.scalar(k, noFold) {
			return false
		}
		w.buf = append(w.buf, ':')
		if !w.value(m[k], indent) {
			return false
		}
	}
	return w.fits()
}

// value writes what follows a key and its colon, to the line's end.
func (w *yamlWriter) value(v any, indent int) bool {
	switch v := v.(type) {
	case map[string]any:
		if len(v) > 0 {
			w.buf = append(w.buf, '\n')
			return w.mapping(v, indent+2, false)
		}
	case common.Values:
		return w.value(map[string]any(v), indent)
	case []any:
		if len(v) > 0 {
			w.buf = append(w.buf, '\n')
			return w.sequence(v, indent, false)
		}
	}
	w.buf = append(w.buf, ' ')
	return w.leaf(v, indent)
}

func (w *yamlWriter) sequence(list []any, indent int, started bool) bool {
	if indent > 2*maxYAMLDepth {
		return false
	}
	for i, v := range list {
		if i > 0 || !started {
			w.indent(indent)
		}
		w.buf = append(w.buf, '-', ' ')
		ok := false
		switch v := v.(type) {
		case map[string]any:
			ok = w.item(v, indent)
		case common.Values:
			ok = w.item(v, indent)
		case []any:
			if len(v) > 0 {
				ok = w.sequence(v, indent+2, true)
			} else {
				ok = w.leaf(v, indent)
			}
		default:
			ok = w.leaf(v, indent)
		}
		if !ok {
			return false
		}
	}
	return w.fits()
}

func (w *yamlWriter) item(v map[string]any, indent int) bool {
	if len(v) > 0 {
		return w.mapping(v, indent+2, true)
	}
	return w.leaf(v, indent)
}

// leaf writes what stands on its line, and texts of several lines, in a
// collection that is indented by so much.
func (w *yamlWriter) leaf(v any, indent int) bool {
	switch v := v.(type) {
	case string:
		if strings.Contains(v, "\n") {
			return w.block(v, indent+2)
		}
		if !w.scalar(v, indent+2) {
			return false
		}
	case map[string]any:
		w.buf = append(w.buf, either(v == nil, "null", "{}")...)
	case []any:
		w.buf = append(w.buf, either(v == nil, "null", "[]")...)
	default:
		if !w.simple(v) {
			return false
		}
	}
	w.buf = append(w.buf, '\n')
	return true
}

func either(is bool, a, b string) string {
	if is {
		return a
	}
	return b
}

// simple writes what is neither a text nor a collection.
func (w *yamlWriter) simple(v any) bool {
	switch v := v.(type) {
	case nil:
		w.buf = append(w.buf, "null"...)
	case bool:
		w.buf = strconv.AppendBool(w.buf, v)
	case int:
		w.buf = strconv.AppendInt(w.buf, int64(v), 10)
	case int64:
		w.buf = strconv.AppendInt(w.buf, v, 10)
	case float64:
		switch {
		case math.IsNaN(v) || math.Abs(v) >= 1e15:
			return false
		case v == math.Trunc(v):
			w.buf = strconv.AppendInt(w.buf, int64(v), 10)
		default:
			w.buf = strconv.AppendFloat(w.buf, v, 'g', -1, 64)
		}
	default:
		return false
	}
	return true
}

// block writes a text of several lines, as a literal block where YAML can have
// it so.
func (w *yamlWriter) block(s string, indent int) bool {
	if s[0] == ' ' || s[0] == '\n' || strings.HasSuffix(s, "\n\n") {
		return false // needs hints
	}
	if !literal(s) {
		return w.byLibrary(s, indent) && w.end()
	}
	w.buf = append(w.buf, '|')
	if !strings.HasSuffix(s, "\n") {
		w.buf = append(w.buf, '-')
	}
	w.buf = append(w.buf, '\n')
	for line := range strings.Lines(s) {
		if line != "\n" {
			w.indent(indent)
		}
		w.buf = append(w.buf, line...)
	}
	if !strings.HasSuffix(s, "\n") {
		return w.end()
	}
	return w.fits()
}

func (w *yamlWriter) end() bool {
	w.buf = append(w.buf, '\n')
	return w.fits()
}

func (w *yamlWriter) fits() bool {
	if len(w.buf) > maxText {
		w.huge = true
	}
	return !w.huge
}

func (w *yamlWriter) indent(n int) {
	for range n {
		w.buf = append(w.buf, ' ')
	}
}

// scalar writes a text of one line, which is folded where it is long. indent
// is that of the lines which it is folded to.
func (w *yamlWriter) scalar(s string, indent int) bool {
	switch form(s) {
	case formPlain:
		w.folded(s, indent)
	case formQuoted:
		w.buf = append(w.buf, '"')
		w.buf = append(w.buf, s...)
		w.buf = append(w.buf, '"')
	default:
		return w.byLibrary(s, indent)
	}
	return true
}

// folded writes a plain text. A line goes on until the first single space
// beyond the width.
func (w *yamlWriter) folded(s string, indent int) {
	column := w.column()
	if indent == noFold || column+len(s) <= foldWidth {
		w.buf = append(w.buf, s...)
		return
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == ' ' && column > foldWidth && s[i-1] != ' ' && s[i+1] != ' ' {
			w.buf = append(w.buf, '\n')
			w.indent(indent)
			column = indent
			continue
		}
		w.buf = append(w.buf, c)
		if utf8.RuneStart(c) {
			column++
		}
	}
}

// column is how many characters the last line has.
func (w *yamlWriter) column() int {
	return utf8.RuneCount(w.buf[bytes.LastIndexByte(w.buf, '\n')+1:])
}

// byLibrary has one text written by the library. Quotes are the same wherever
// the text stands, blocks and folded texts are not.
func (w *yamlWriter) byLibrary(s string, indent int) bool {
	out, err := yaml.Marshal(s)
	if err != nil || len(out) == 0 || out[0] == '|' || out[0] == '!' {
		return false
	}
	out = out[:len(out)-1]
	if bytes.ContainsAny(out, "\n\u0085\u2028\u2029") || indent != noFold && w.column()+len(out) > foldWidth && bytes.IndexByte(out, ' ') >= 0 {
		return false
	}
	w.buf = append(w.buf, out...)
	return true
}

// plainKey says that a key is written like any text of one line.
func plainKey(k string) bool {
	if k == "" || len(k) > maxYAMLKey || k == "<<" {
		return false
	}
	for i := range len(k) {
		if k[i] < ' ' || k[i] >= 0x7f {
			return false
		}
	}
	return true
}
