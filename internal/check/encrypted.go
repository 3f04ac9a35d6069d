package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// sealedYAML reads a file of one or several YAML documents.
func sealedYAML(data []byte) (*sealedFile, int, error) {
	quiet := &reporter{}
	docs := documents(quiet, data, false)
	if len(quiet.problems) > 0 {
		p := quiet.problems[0]
		return nil, p.Line, fmt.Errorf("SOPS cannot read the file: %s", p.Message)
	}
	f := &sealedFile{settings: map[string]string{}}
	for _, doc := range docs {
		w := walker{reporter: quiet, sizes: map[*yaml.Node]int{}}
		if w.size(doc, 0) > maxYAMLNodes || w.refused {
			return nil, doc.Line, errors.New("SOPS cannot read the file: it is nested too deeply, or has too many values")
		}
		for _, top := range doc.Content {
			if top.Kind == yaml.MappingNode {
				f.yamlTop(top)
			} else {
				f.yaml(top, nil, nil)
			}
		}
	}
	return f, 0, nil
}

func (f *sealedFile) yamlTop(top *yaml.Node) {
	for i := 0; i+1 < len(top.Content); i += 2 {
		key, value := top.Content[i], top.Content[i+1]
		if key.Value == "sops" && value.Kind == yaml.MappingNode {
			f.sops, f.line = true, key.Line
			for j := 0; j+1 < len(value.Content); j += 2 {
				f.settings[value.Content[j].Value] = value.Content[j+1].Value
			}
			continue
		}
		f.yaml(value, []string{key.Value}, []string{key.Value})
	}
}

// yaml lists the values below the node. Aliases are not followed: what they
// stand for is listed where it is written.
func (f *sealedFile) yaml(n *yaml.Node, path, keys []string) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			k := n.Content[i].Value
			f.yaml(n.Content[i+1], append(slices.Clip(path), k), append(slices.Clip(keys), k))
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			f.yaml(c, append(slices.Clip(path), strconv.Itoa(i)), keys)
		}
	case yaml.ScalarNode:
		f.leaves = append(f.leaves, leaf{path: path, keys: keys, line: n.Line, value: n.Value, null: n.ShortTag() == "!!null"})
	}
}

// jsonReader reads JSON with the line of each value.
type jsonReader struct {
	data []byte
	dec  *json.Decoder
	file *sealedFile
	at   int // offset up to which lines are counted
	line int
}

func sealedJSON(data []byte) (*sealedFile, int, error) {
	r := &jsonReader{data: data, dec: json.NewDecoder(bytes.NewReader(data)), file: &sealedFile{settings: map[string]string{}}, line: 1}
	r.dec.UseNumber()
	err := r.value(nil, nil)
	if err == nil {
		if _, more := r.dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("there is something after its end")
		}
	}
	if err != nil {
		// The decoder's own words may quote a character of a value.
		return nil, r.here(), errors.New("SOPS cannot read the file: it is not valid JSON")
	}
	return r.file, 0, nil
}

// here is the line that has been read to.
func (r *jsonReader) here() int {
	to := min(int(r.dec.InputOffset()), len(r.data))
	r.line += bytes.Count(r.data[r.at:to], []byte{'\n'})
	r.at = to
	return r.line
}

func (r *jsonReader) value(path, keys []string) error {
	if len(path) > maxYAMLDepth {
		return errors.New("too deep")
	}
	token, err := r.dec.Token()
	if err != nil {
		return err
	}
	inSettings := len(path) > 0 && path[0] == "sops"
	switch token := token.(type) {
	case json.Delim:
		if inSettings && len(path) == 1 && token == '{' {
			r.file.sops, r.file.line = true, r.here()
		}
		return r.inside(token, path, keys)
	default:
		l := leaf{path: path, keys: keys, line: r.here(), value: fmt.Sprint(token), null: token == nil}
		switch {
		case !inSettings:
			r.file.leaves = append(r.file.leaves, l)
		case len(path) == 2:
			r.file.settings[path[1]] = l.value
		}
		return nil
	}
}

func (r *jsonReader) inside(open json.Delim, path, keys []string) error {
	for i := 0; r.dec.More(); i++ {
		if open == '[' {
			if err := r.value(append(slices.Clip(path), strconv.Itoa(i)), keys); err != nil {
				return err
			}
			continue
		}
		token, err := r.dec.Token()
		if err != nil {
			return err
		}
		key, _ := token.(string)
		if err := r.value(append(slices.Clip(path), key), append(slices.Clip(keys), key)); err != nil {
			return err
		}
	}
	_, err := r.dec.Token()
	return err
}

// sealedLines reads dotenv, KEY=VALUE a line with SOPS' settings among them as
// sops_KEY, or INI, where they are a section.
func sealedLines(data []byte, sections bool) *sealedFile {
	f := &sealedFile{settings: map[string]string{}}
	section := ""
	n := 0
	for raw := range bytes.Lines(data) {
		n++
		line := strings.TrimSpace(string(raw))
		if line == "" || line[0] == '#' || sections && line[0] == ';' {
			continue
		}
		if sections && line[0] == '[' && strings.HasSuffix(line, "]") {
			section = strings.TrimSpace(line[1 : len(line)-1])
			if section == "sops" {
				f.sops, f.line = true, n
			}
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			// A line that continues a value, or that is one by itself.
			key, value = "line "+strconv.Itoa(n), line
		}
		key, value = strings.TrimSpace(key), strings.Trim(strings.TrimSpace(value), `"'`)
		f.pair(section, key, value, n, sections)
	}
	return f
}

func (f *sealedFile) pair(section, key, value string, line int, sections bool) {
	if sections && section == "sops" {
		f.settings[key] = value
		return
	}
	if setting, ok := strings.CutPrefix(key, "sops_"); ok && !sections {
		if !f.sops {
			f.sops, f.line = true, line
		}
		f.settings[setting] = value
		return
	}
	keys := []string{key}
	if section != "" {
		keys = []string{section, key}
	}
	f.leaves = append(f.leaves, leaf{path: keys, keys: keys, line: line, value: value})
}
