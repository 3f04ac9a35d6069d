package check

import (
	"fmt"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/hubship/hubship/internal/plan"
)

// walker goes through one document.
type walker struct {
	*reporter
	values   bool
	sizes    map[*yaml.Node]int // of what anchors name, aliases followed; -1 while it is counted
	refused  bool               // too deep, or in a circle: not to be walked
	bombLine int                // of the first alias that makes the file too large
}

// isMap says whether the top of a values file is a map, or nothing at all.
func (w *walker) isMap(doc *yaml.Node) bool {
	if len(doc.Content) == 0 {
		return false
	}
	top := doc.Content[0]
	switch {
	case top.Kind == yaml.MappingNode:
		return true
	case top.Kind == yaml.ScalarNode && top.Tag == "!!null":
		return false
	}
	w.add(plan.Error, top.Line, "the file is "+kindName(top)+": a values file is a map of settings", "write `key: value` lines")
	return false
}

// size counts values, aliases followed. It stops at the bound.
func (w *walker) size(n *yaml.Node, depth int) int {
	if w.refused {
		return 0
	}
	if depth > maxYAMLDepth {
		w.refused = true
		w.add(plan.Error, n.Line, fmt.Sprintf("maps and lists are nested more than %d deep", maxYAMLDepth), "flatten the file")
		return 0
	}
	if n.Kind == yaml.AliasNode {
		return w.aliasSize(n, depth)
	}
	if n.Anchor != "" {
		w.sizes[n] = -1
	}
	total := 1
	for _, c := range n.Content {
		if total += w.size(c, depth+1); total > maxYAMLNodes {
			total = maxYAMLNodes + 1
			break
		}
	}
	if n.Anchor != "" {
		w.sizes[n] = total
	}
	return total
}

func (w *walker) aliasSize(n *yaml.Node, depth int) int {
	size, counted := w.sizes[n.Alias]
	switch {
	case size < 0:
		w.refused = true
		w.add(plan.Error, n.Line, fmt.Sprintf("the alias *%s is part of what it stands for", n.Value), "write out what it stands for")
		return 0
	case !counted:
		size = w.size(n.Alias, depth)
	}
	if size > maxYAMLNodes/10 && w.bombLine == 0 {
		w.bombLine = n.Line
	}
	return size
}

// walk judges every map below the node. Aliases are not followed: what they
// stand for is judged where it is written.
func (w *walker) walk(n *yaml.Node, path []string) {
	switch n.Kind {
	case yaml.DocumentNode:
		for _, c := range n.Content {
			w.walk(c, path)
		}
	case yaml.SequenceNode:
		for i, c := range n.Content {
			w.walk(c, append(path, strconv.Itoa(i)))
		}
	case yaml.MappingNode:
		w.mapping(n, path)
	}
}

func (w *walker) mapping(n *yaml.Node, path []string) {
	seen := make(map[string][2]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind == yaml.AliasNode {
			key = key.Alias
		}
		if key.Kind != yaml.ScalarNode {
			w.add(plan.Error, n.Content[i].Line, "a key is "+kindName(key)+", but keys must be strings", "")
			continue
		}
		if key.Tag == "!!merge" {
			w.merge(value, path)
			continue
		}
		at := append(path, key.Value)
		first, twice := seen[key.Value]
		switch {
		case twice && sameNode(first[1], value, 0):
			w.add(plan.Warning, n.Content[i].Line, dotted(at)+" is set twice, with the same value", fmt.Sprintf("remove one; the first is on line %d", first[0].Line))
		case twice:
			w.add(plan.Error, n.Content[i].Line, dotted(at)+" is set twice: the first value is lost", fmt.Sprintf("merge it with line %d, or remove one", first[0].Line))
		default:
			seen[key.Value] = [2]*yaml.Node{n.Content[i], value}
		}
		if w.values {
			w.key(key, n.Content[i].Line, at)
			w.tag(key, value, at)
		}
		w.walk(value, at)
	}
}

// merge judges what a merge key takes in: maps, or a list of maps.
func (w *walker) merge(value *yaml.Node, path []string) {
	target := value
	if target.Kind == yaml.AliasNode {
		target = target.Alias
	}
	switch target.Kind {
	case yaml.MappingNode:
	case yaml.SequenceNode:
		for _, c := range target.Content {
			if c.Kind == yaml.AliasNode {
				c = c.Alias
			}
			if c.Kind != yaml.MappingNode {
				w.add(plan.Error, value.Line, "<< merges "+kindName(c)+", but only maps can be merged", "")
				return
			}
		}
	default:
		w.add(plan.Error, value.Line, "<< merges "+kindName(target)+", but only maps can be merged", "")
	}
	if value.Kind != yaml.AliasNode {
		w.walk(value, path)
	}
}

// key warns of words that Helm's YAML, which is 1.1, reads as something else
// than text.
func (w *walker) key(key *yaml.Node, line int, at []string) {
	if key.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0 {
		return
	}
	read, ok := readKey(key)
	if !ok || read == key.Value {
		return
	}
	w.add(plan.Warning, line, fmt.Sprintf("the key %s is read as %s", dotted(at), read), fmt.Sprintf("write it in quotes: %q", key.Value))
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.SequenceNode:
		return "a list"
	case yaml.MappingNode:
		return "a map"
	case yaml.AliasNode:
		return "an alias"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!int", "!!float":
		return "a number"
	case "!!bool":
		return "true or false"
	}
	return "text"
}

// sameNode compares two values as written, comments and layout aside.
func sameNode(a, b *yaml.Node, depth int) bool {
	if depth > maxYAMLDepth || a.Kind != b.Kind || a.Value != b.Value || a.ShortTag() != b.ShortTag() || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !sameNode(a.Content[i], b.Content[i], depth+1) {
			return false
		}
	}
	return true
}

// dotted names a place in a values file: `hub.config["a.b"].x`.
func dotted(path []string) string {
	var b strings.Builder
	for i, p := range path {
		switch {
		case p == "" || strings.ContainsAny(p, ".[]\" \n"):
			fmt.Fprintf(&b, "[%q]", p)
		case i > 0:
			b.WriteString("." + p)
		default:
			b.WriteString(p)
		}
	}
	return b.String()
}
