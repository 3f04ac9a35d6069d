package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// maxFile bounds the size of hubship.yaml, in bytes.
const maxFile = 1 << 20

// errTooLarge says that a file is not read because of its size.
var errTooLarge = fmt.Errorf("the file is larger than %d KiB", maxFile>>10)

// readFile reads a file of the tree within the bound.
func readFile(tree fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(tree, name)
	if err != nil {
		return nil, err
	}
	if info.Size() > maxFile {
		return nil, errTooLarge
	}
	return fs.ReadFile(tree, name)
}

// position is a place in the file, counted from 1.
type position struct{ line, column int }

// decoder fills the format's types from YAML, strictly, and remembers where
// everything stood and in what order names were given.
type decoder struct {
	name  string // of the file
	found *problems
	at    map[string]position // by dotted path
	order map[string][]string // keys of a mapping, by dotted path
}

// decode reads a file. Everything wrong with it is in found; what could be read
// is returned nevertheless, so that more can be checked.
func decode(name string, data []byte, found *problems) (*file, *decoder) {
	d := &decoder{name: name, found: found, at: map[string]position{}, order: map[string][]string{}}
	out := &file{}
	root := d.parse(data)
	if root == nil {
		return out, d
	}
	d.value(root, reflect.ValueOf(out).Elem(), "")
	return out, d
}

// parse returns the root of the only document, or nil.
func (d *decoder) parse(data []byte) *yaml.Node {
	reader := yaml.NewDecoder(bytes.NewReader(data))
	var doc, second yaml.Node
	if err := reader.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			d.found.add(Problem{File: d.name, Message: "the file is empty"})
		} else {
			d.syntax(err)
		}
		return nil
	}
	if err := reader.Decode(&second); err == nil {
		d.found.add(Problem{File: d.name, Line: second.Line, Column: second.Column, Message: "a second document: expected one"})
	} else if !errors.Is(err, io.EOF) {
		d.syntax(err)
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		d.found.add(Problem{File: d.name, Message: "the file is empty"})
		return nil
	}
	return doc.Content[0]
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?(.*)$`)

// syntax takes the line out of the library's message.
func (d *decoder) syntax(err error) {
	p := Problem{File: d.name, Message: "not valid YAML: " + err.Error()}
	if m := syntaxLine.FindStringSubmatch(err.Error()); m != nil {
		p.Line, _ = strconv.Atoi(m[1]) // empty without a line: 0
		p.Message = "not valid YAML: " + m[2]
		if strings.Contains(m[2], "expected alphabetic or numeric character") {
			p.Hint = "put quotes around a value that starts with '*' or '&'"
		}
	}
	d.found.add(p)
}

// problem adds what is wrong at a node.
func (d *decoder) problem(n *yaml.Node, field, message, hint string) {
	d.found.add(Problem{File: d.name, Line: n.Line, Column: n.Column, Field: field, Message: message, Hint: hint})
}

// problemAt adds what is wrong with a field that was read before, or with the
// nearest thing around it that stands in the file.
func (d *decoder) problemAt(field, message, hint string) {
	p := Problem{File: d.name, Field: field, Message: message, Hint: hint}
	for at := field; ; {
		if pos, ok := d.at[at]; ok {
			p.Line, p.Column = pos.line, pos.column
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	d.found.add(p)
}

// value decodes one node. The recursion is as deep as the types are.
func (d *decoder) value(n *yaml.Node, v reflect.Value, field string) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if _, ok := d.at[field]; !ok {
		d.at[field] = position{n.Line, n.Column}
	}
	switch v.Kind() {
	case reflect.Struct, reflect.Map:
		if n.Kind != yaml.MappingNode {
			d.wrongType(n, field, "a mapping")
			return
		}
		d.mapping(n, v, field)
	case reflect.Slice:
		if v.Type() == reflect.TypeFor[command]() && n.Kind == yaml.ScalarNode {
			d.shell(n, v, field)
			return
		}
		if n.Kind != yaml.SequenceNode {
			d.wrongType(n, field, "a list")
			return
		}
		for i, item := range n.Content {
			element := reflect.New(v.Type().Elem()).Elem()
			d.value(item, element, fmt.Sprintf("%s[%d]", field, i))
			v.Set(reflect.Append(v, element))
		}
	default:
		d.scalar(n, v, field)
	}
}

// shell decodes a command that is one text.
func (d *decoder) shell(n *yaml.Node, v reflect.Value, field string) {
	if n.ShortTag() != "!!str" {
		d.wrongType(n, field, "a string or a list")
		return
	}
	v.Set(reflect.ValueOf(command{"sh", "-c", n.Value}))
}

func (d *decoder) scalar(n *yaml.Node, v reflect.Value, field string) {
	tag := n.ShortTag()
	if n.Kind != yaml.ScalarNode {
		tag = ""
	}
	switch v.Kind() {
	case reflect.String:
		if tag != "!!str" {
			d.wrongType(n, field, "a string")
			return
		}
		v.SetString(n.Value)
	case reflect.Int:
		i, err := strconv.Atoi(n.Value)
		if tag != "!!int" || err != nil {
			d.wrongType(n, field, "a whole number")
			return
		}
		v.SetInt(int64(i))
	case reflect.Bool:
		b, err := strconv.ParseBool(n.Value)
		if tag != "!!bool" || err != nil {
			d.wrongType(n, field, "true or false")
			return
		}
		v.SetBool(b)
	}
}

// wrongType says what was found in place of what was expected.
func (d *decoder) wrongType(n *yaml.Node, field, expected string) {
	found, hint := "something else", ""
	switch n.Kind {
	case yaml.MappingNode:
		found = "a mapping"
		if strings.HasPrefix(expected, "a string") && n.Style&yaml.FlowStyle != 0 {
			hint = "put quotes around a value that starts with a brace"
		}
	case yaml.SequenceNode:
		found = "a list"
	case yaml.ScalarNode:
		switch n.ShortTag() {
		case "!!null":
			found = "nothing"
		case "!!str":
			found = "the string " + strconv.Quote(shorten(n.Value))
		default:
			found = shorten(n.Value)
			if expected == "a string" {
				hint = "put quotes around it"
			}
		}
	}
	d.problem(n, field, fmt.Sprintf("expected %s, found %s", expected, found), hint)
}

// shorten keeps a value from filling the screen.
func shorten(s string) string {
	if len(s) > 40 {
		return strings.ToValidUTF8(s[:40], "") + "…"
	}
	return s
}

// mapping decodes a struct by its fields or a map by its keys.
func (d *decoder) mapping(n *yaml.Node, v reflect.Value, field string) {
	fields := map[string]reflect.Value{}
	var required []string
	if v.Kind() == reflect.Struct {
		fields, required = structFields(v)
	} else {
		v.Set(reflect.MakeMap(v.Type()))
	}
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() != "!!str" {
			d.problem(key, field, "expected a name in front of the colon, found "+shorten(key.Value), "put quotes around it")
			continue
		}
		name := key.Value
		sub := join(field, name)
		if first, ok := seen[name]; ok {
			d.problem(key, sub, fmt.Sprintf("duplicate key, first in line %d", first), "remove one of them")
			continue
		}
		seen[name] = key.Line
		if v.Kind() == reflect.Map {
			d.at[sub] = position{key.Line, key.Column}
			d.order[field] = append(d.order[field], name)
			element := reflect.New(v.Type().Elem()).Elem()
			d.value(val, element, sub)
			v.SetMapIndex(reflect.ValueOf(name), element)
			continue
		}
		target, ok := fields[name]
		if !ok && field == "" && retired(name) {
			d.retired(key, val)
			continue
		}
		if !ok {
			known := sortedKeys(fields)
			d.problem(key, sub, "unknown key, expected "+oneOf(known), didYouMean(name, known))
			continue
		}
		d.value(val, target, sub)
	}
	for _, name := range required {
		if _, ok := seen[name]; !ok {
			d.problem(n, join(field, name), "missing, but required", "")
		}
	}
}

// structFields returns the fields of a struct by their names in the file, and
// the names of those that are required.
func structFields(v reflect.Value) (fields map[string]reflect.Value, required []string) {
	fields = map[string]reflect.Value{}
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[name] = v.Field(i)
		if !strings.Contains(options, "omitempty") {
			required = append(required, name)
		}
	}
	return fields, required
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

func join(field, name string) string {
	if field == "" {
		return name
	}
	return field + "." + name
}
