package helm

import (
	"strings"
	"unicode/utf8"

	"sigs.k8s.io/yaml"
)

// readYAML reads a document that is a map, if it is written as templates
// usually write: block maps and lists, texts on one line, literal blocks. The
// result is what the library makes of it, which fuzzing against it has to
// prove; ok is false for all that is written otherwise, and for what is no
// proper YAML. The library takes ten times as long, and every document of a
// render has to be read at least to see that it can be.
func readYAML(text string) (content map[string]any, ok bool) {
	if !utf8.ValidString(text) || !strings.HasSuffix(text, "\n") || !smoothText(text) {
		return nil, false
	}
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\n' || c == 0x7f {
			return nil, false
		}
	}
	r := yamlReader{text: text}
	if !r.line() {
		return nil, false
	}
	if r.column < 0 {
		return nil, true // comments only
	}
	if r.column != 0 || r.dash() {
		return nil, false
	}
	content, ok = r.mapping(0, 0)
	return content, ok && r.column < 0
}

// yamlReader stands at the first character of a line that holds something, at
// its column. At the end of the document the column is negative. Methods that
// return ok leave it at such a place.
type yamlReader struct {
	text   string
	at     int
	column int
}

// line goes on to the next line that holds something, from the start of one.
func (r *yamlReader) line() bool {
	for r.at < len(r.text) {
		start := r.at
		for r.at < len(r.text) && r.text[r.at] == ' ' {
			r.at++
		}
		switch r.text[r.at] { // texts end with a line's end
		case '\n':
			r.at++
		case '#':
			r.skip()
		default:
			r.column = r.at - start
			rest := r.text[r.at:]
			return r.column > 0 || !strings.HasPrefix(rest, "---") && !strings.HasPrefix(rest, "...") && rest[0] != '%'
		}
	}
	r.column = -1
	return true
}

// skip goes to the start of the next line.
func (r *yamlReader) skip() { r.at += strings.IndexByte(r.text[r.at:], '\n') + 1 }

// dash says that a list's item begins here.
func (r *yamlReader) dash() bool {
	return r.text[r.at] == '-' && (r.text[r.at+1] == ' ' || r.text[r.at+1] == '\n')
}

func (r *yamlReader) mapping(column, depth int) (map[string]any, bool) {
	if depth > maxYAMLDepth {
		return nil, false
	}
	out := map[string]any{}
	for r.column == column && !r.dash() {
		key, length, ok := r.key()
		if !ok {
			return nil, false
		}
		if _, twice := out[key]; twice {
			return nil, false
		}
		r.at += length
		if out[key], ok = r.value(column, depth); !ok {
			return nil, false
		}
	}
	return out, r.column < column || r.column == column && depth > 0
}

// key reads a key with its colon.
func (r *yamlReader) key() (key string, length int, ok bool) {
	rest := r.text[r.at:]
	if rest[0] == '"' || rest[0] == '\'' {
		end := strings.IndexByte(rest[1:], rest[0]) + 1
		if end < 1 {
			return "", 0, false
		}
		key, length = rest[1:end], end+1
		if strings.ContainsAny(key, "\\\n") || rest[length] == '\'' || !smoothText(key) || key == "<<" {
			return "", 0, false
		}
	} else {
		for length < len(rest) && isKeyByte(rest[length]) {
			length++
		}
		key = rest[:length]
		if form(key) != formPlain {
			return "", 0, false
		}
	}
	if length > maxYAMLKey || rest[length] != ':' || rest[length+1] != ' ' && rest[length+1] != '\n' {
		return "", 0, false
	}
	return key, length + 1, true
}

func isKeyByte(c byte) bool {
	return isLetter(c) || isDigit(c) || c == '_' || c == '-' || c == '.' || c == '/'
}

// value reads what follows a key's colon.
func (r *yamlReader) value(column, depth int) (any, bool) {
	rest := r.rest()
	if rest != "" && (rest[0] != '#' || r.text[r.at-1] != ' ') {
		return r.scalar(rest, column)
	}
	r.skip()
	if !r.line() {
		return nil, false
	}
	switch {
	case r.column > column:
		return r.block(depth + 1)
	case r.column == column && r.dash():
		return r.sequence(column, depth+1)
	}
	return nil, true
}

// rest is what the line still holds, from its first character that is no
// space.
func (r *yamlReader) rest() string {
	for r.text[r.at] == ' ' {
		r.at++
	}
	return strings.TrimRight(r.text[r.at:r.at+strings.IndexByte(r.text[r.at:], '\n')], " ")
}

// block reads the collection that begins here.
func (r *yamlReader) block(depth int) (any, bool) {
	if r.dash() {
		return r.sequence(r.column, depth)
	}
	return r.mapping(r.column, depth)
}

func (r *yamlReader) sequence(column, depth int) ([]any, bool) {
	if depth > maxYAMLDepth {
		return nil, false
	}
	out := []any{}
	for r.column == column && r.dash() {
		begin := r.at
		r.at++
		rest := r.rest()
		var item any
		ok := true
		if rest == "" || rest[0] == '#' {
			r.skip()
			if !r.line() {
				return nil, false
			}
			if r.column > column {
				item, ok = r.block(depth + 1)
			}
		} else if _, _, isKey := r.key(); isKey || r.dash() {
			r.column = column + r.at - begin
			item, ok = r.block(depth + 1)
		} else {
			item, ok = r.scalar(rest, column)
		}
		if !ok {
			return nil, false
		}
		out = append(out, item)
	}
	return out, r.column <= column
}

// scalar reads a value that is no collection, and the rest of its line.
func (r *yamlReader) scalar(s string, column int) (any, bool) {
	if s[0] == '|' {
		return r.literal(s, column)
	}
	s, ok := withoutComment(s)
	if !ok {
		return nil, false
	}
	var v any
	switch s[0] {
	case '"', '\'':
		v, ok = unquote(s)
	case '{':
		v, ok = map[string]any{}, s == "{}"
	case '[':
		v, ok = flowList(s)
	default:
		v, ok = plainValue(s)
	}
	r.skip()
	return v, ok && r.line()
}

// withoutComment takes the comment off a value. ok is false where a # stands
// within quotes.
func withoutComment(s string) (string, bool) {
	at := strings.Index(s, " #")
	if at < 0 {
		return s, true
	}
	head := strings.TrimRight(s[:at], " ")
	return head, strings.Count(head, "\"")%2 == 0 && strings.Count(head, "'")%2 == 0
}

// flowList reads a list on one line of nothing but scalars.
func flowList(s string) ([]any, bool) {
	if s[len(s)-1] != ']' {
		return nil, false
	}
	out := []any{}
	s = strings.Trim(s[1:len(s)-1], " ")
	for s != "" {
		end := 0
		if s[0] == '"' || s[0] == '\'' {
			end = strings.IndexByte(s[1:], s[0]) + 2
			if end < 2 || strings.IndexByte(s[:end], '\\') >= 0 {
				return nil, false
			}
		} else {
			for end < len(s) && isKeyByte(s[end]) {
				end++
			}
		}
		if end == 0 {
			return nil, false
		}
		read := plainValue
		if s[0] == '"' || s[0] == '\'' {
			read = quotedValue
		}
		item, ok := read(s[:end])
		if !ok {
			return nil, false
		}
		out = append(out, item)
		s = strings.TrimLeft(s[end:], " ")
		if s == "" {
			break
		}
		rest, more := strings.CutPrefix(s, ",")
		if s = strings.TrimLeft(rest, " "); !more || s == "" {
			return nil, false
		}
	}
	return out, true
}

func quotedValue(s string) (any, bool) { return unquote(s) }

func unquote(s string) (string, bool) {
	end := len(s) - 1
	if end < 1 || s[end] != s[0] {
		return "", false
	}
	quote, s := s[0], s[1:end]
	if !smoothText(s) {
		return "", false
	}
	if quote == '\'' {
		plain := strings.ReplaceAll(s, "''", "")
		return strings.ReplaceAll(s, "''", "'"), !strings.Contains(plain, "'")
	}
	if strings.IndexByte(s, '\\') < 0 {
		return s, strings.IndexByte(s, '"') < 0
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case '"':
			return "", false
		case '\\':
			i++
			if i == len(s) {
				return "", false
			}
			switch s[i] {
			case '"', '\\':
				out.WriteByte(s[i])
			case 'n':
				out.WriteByte('\n')
			case 't':
				out.WriteByte('\t')
			default:
				return "", false
			}
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), true
}

// smoothText says that a text has no character that YAML takes for more than
// itself within quotes.
func smoothText(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] >= 0x80 {
			n := printable(s[i:])
			if n == 0 {
				return false
			}
			i += n - 1
		}
	}
	return true
}

// plainValue is what a text without quotes means.
func plainValue(s string) (any, bool) {
	switch form(s) {
	case formPlain:
		return s, true
	case formQuoted:
		if isDigit(s[0]) && s[0] != '0' && len(s) <= 15 || s == "0" {
			n := 0
			for i := range len(s) {
				n = n*10 + int(s[i]-'0')
			}
			return float64(n), true
		}
		switch s {
		case "true":
			return true, true
		case "false":
			return false, true
		case "null":
			return nil, true
		}
	}
	if c := s[0]; !isLetter(c) && !isDigit(c) && c != '-' && c != '.' && c != '+' || s == "-" || strings.HasPrefix(s, "- ") || strings.HasPrefix(s, "---") || strings.HasPrefix(s, "...") || !smooth(s) {
		return nil, false
	}
	var out any
	if err := yaml.Unmarshal([]byte(s), &out); err != nil {
		return nil, false
	}
	switch out.(type) {
	case nil, bool, float64, string:
		return out, true
	}
	return nil, false
}

// literal reads a literal block. Its lines are indented more than the
// collection that it stands in.
func (r *yamlReader) literal(header string, column int) (any, bool) {
	r.skip()
	start := r.at
	for start < len(r.text) && r.text[start] == ' ' {
		start++
	}
	indent := start - r.at
	if start == len(r.text) || r.text[start] == '\n' || indent <= column || indent == 0 {
		return nil, false
	}
	var out strings.Builder
	for r.at < len(r.text) {
		end := r.at + strings.IndexByte(r.text[r.at:], '\n')
		line := r.text[r.at:end]
		body := strings.TrimLeft(line, " ")
		switch has := len(line) - len(body); {
		case has >= indent:
			out.WriteString(line[indent:])
		case body != "":
			return r.chomped(out.String(), header, has <= column)
		}
		out.WriteByte('\n')
		r.at = end + 1
	}
	return r.chomped(out.String(), header, true)
}

func (r *yamlReader) chomped(text, header string, ok bool) (any, bool) {
	if !ok || !smoothText(text) || !r.line() {
		return nil, false
	}
	bare := strings.TrimRight(text, "\n")
	switch header {
	case "|":
		return bare + "\n", true
	case "|-":
		return bare, true
	case "|+":
		return text, true
	}
	return nil, false
}
