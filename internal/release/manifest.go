package release

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// Object is one object of a manifest.
type Object struct {
	APIVersion string
	Kind       string
	Namespace  string // as written; empty means the release's, or none
	Name       string
	Content    map[string]any
	Template   string // the chart's file that it was rendered from; empty when that is not known
	Hook       bool   // a Helm hook: run at its time, not kept in the release
}

// Key identifies the object across versions of its API: "apps/Deployment
// ns/hub". Group, not version, so that a moved API version is a change and not
// a removal.
func (o Object) Key() string {
	group, _, ok := strings.Cut(o.APIVersion, "/")
	if !ok {
		group = ""
	}
	kind := o.Kind
	if group != "" {
		kind = group + "/" + kind
	}
	name := o.Name
	if o.Namespace != "" {
		name = o.Namespace + "/" + name
	}
	return kind + " " + name
}

// String names the object for people: "Deployment hub".
func (o Object) String() string {
	if o.Namespace != "" {
		return o.Kind + " " + o.Namespace + "/" + o.Name
	}
	return o.Kind + " " + o.Name
}

// ParseManifest splits a manifest into its objects, in order. Lists are
// flattened, empty documents dropped. An object without a kind or a name is an
// error.
func ParseManifest(manifest []byte) ([]Object, error) {
	var out []Object
	for _, doc := range documents(manifest) {
		content, err := parseMap(doc.text)
		if err != nil {
			// The parser's message may quote the document, which may hold a
			// Secret.
			return nil, fmt.Errorf("document %d of the manifest is not a YAML map", doc.place)
		}
		if len(content) == 0 {
			continue
		}
		objects, err := flatten(content)
		if err != nil {
			return nil, fmt.Errorf("document %d of the manifest: %w", doc.place, err)
		}
		for i := range objects {
			objects[i].Template = doc.template
		}
		out = append(out, objects...)
	}
	return out, nil
}

// document is one document of a manifest as text.
type document struct {
	place    int    // from 1
	template string // the chart's file, from Helm's comment
	text     []byte // without the marker and the empty lines before it
}

// documents cuts a manifest at its "---" lines, without reading the YAML. No
// other line can begin so: within a block text it would be indented.
func documents(manifest []byte) []document {
	var out []document
	place, start := 0, 0
	add := func(end int) {
		place++
		// White space at the end may be part of a block text.
		if text := bytes.TrimLeft(manifest[start:end], "\r\n"); len(bytes.TrimSpace(text)) > 0 {
			out = append(out, document{place: place, template: source(text), text: text})
		}
	}
	for at := 0; at < len(manifest); {
		end := len(manifest)
		if n := bytes.IndexByte(manifest[at:], '\n'); n >= 0 {
			end = at + n + 1
		}
		if rest, ok := bytes.CutPrefix(manifest[at:end], marker); ok && (len(rest) == 0 || rest[0] == ' ' || rest[0] == '\t' || rest[0] == '\r' || rest[0] == '\n') {
			add(at)
			// What follows a marker on its line belongs to the document.
			start = at + len(marker)
		}
		at = end
	}
	add(len(manifest))
	return out
}

var marker = []byte("---")

// source is the file that Helm says a document comes from.
func source(text []byte) string {
	line, _, _ := bytes.Cut(text, []byte{'\n'})
	file, ok := bytes.CutPrefix(line, []byte("# Source: "))
	if !ok {
		return ""
	}
	return string(bytes.TrimSpace(file))
}

func flatten(content map[string]any) ([]Object, error) {
	kind, _ := content["kind"].(string)
	apiVersion, _ := content["apiVersion"].(string)
	if items, ok := content["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		var out []Object
		for _, item := range items {
			m, ok := item.(map[string]any)
			if !ok {
				return nil, fmt.Errorf("an item of a %s is not a map", kind)
			}
			objects, err := flatten(m)
			if err != nil {
				return nil, err
			}
			out = append(out, objects...)
		}
		return out, nil
	}
	meta, _ := content["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	namespace, _ := meta["namespace"].(string)
	if kind == "" || name == "" {
		return nil, errors.New("an object has no kind or no name")
	}
	o := Object{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name, Content: content}
	o.Hook = o.annotation("helm.sh/hook") != ""
	return []Object{o}, nil
}

// annotation returns an annotation of the object, empty when it has none.
func (o Object) annotation(name string) string {
	meta, _ := o.Content["metadata"].(map[string]any)
	notes, _ := meta["annotations"].(map[string]any)
	text, _ := notes[name].(string)
	return text
}

// label returns a label of the object, empty when it has none.
func (o Object) label(name string) string {
	meta, _ := o.Content["metadata"].(map[string]any)
	labels, _ := meta["labels"].(map[string]any)
	text, _ := labels[name].(string)
	return text
}
