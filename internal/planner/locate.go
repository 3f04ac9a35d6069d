package planner

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/model"
)

// locate finds where a value of a release is set: in the file that wins, or
// the nearest thing around it. It is looked for only to word a problem.
func (w *work) locate(s *revision, d model.Desired, at string) (file string, line int) {
	keys := splitPath(at)
	best := 0
	for i := len(d.Values) - 1; i >= 0; i-- {
		depth, l := position(s, d.Values[i], keys)
		if depth > best {
			file, line, best = d.Values[i], l, depth
		}
	}
	return file, line
}

// position returns how many of the keys a file has, and where the last of them
// stands.
func position(s *revision, name string, keys []string) (depth, line int) {
	data, err := readTree(s.tree, name)
	if err != nil {
		return 0, 0
	}
	var doc yaml.Node
	if yaml.Unmarshal(data, &doc) != nil || len(doc.Content) == 0 {
		return 0, 0
	}
	n := doc.Content[0]
	for _, key := range keys {
		if n.Kind == yaml.AliasNode {
			n = n.Alias
		}
		next, at := child(n, key)
		if next == nil {
			break
		}
		n, line = next, at
		depth++
	}
	return depth, line
}

func child(n *yaml.Node, key string) (*yaml.Node, int) {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if n.Content[i].Value == key {
				return n.Content[i+1], n.Content[i].Line
			}
		}
	case yaml.SequenceNode:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(n.Content) {
			return n.Content[i], n.Content[i].Line
		}
	}
	return nil, 0
}

var pathPart = regexp.MustCompile(`\["((?:[^"\\]|\\.)*)"\]|\[(\d+)\]|[^.\[\]]+`)

// splitPath takes `a.b["c.d"][0].e` apart.
func splitPath(at string) []string {
	var out []string
	for _, m := range pathPart.FindAllStringSubmatch(at, -1) {
		switch {
		case m[1] != "":
			out = append(out, strings.ReplaceAll(m[1], `\"`, `"`))
		case m[2] != "":
			out = append(out, m[2])
		default:
			out = append(out, m[0])
		}
	}
	return out
}
