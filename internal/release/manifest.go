package release

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Object is one object of a manifest.
type Object struct {
	APIVersion string
	Kind       string
	Namespace  string // as written; empty means the release's, or none
	Name       string
	Content    map[string]any
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
	reader := utilyaml.NewYAMLReader(newLineReader(manifest))
	for n := 1; ; n++ {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read document %d of the manifest: %w", n, err)
		}
		var content map[string]any
		if err := yaml.Unmarshal(doc, &content); err != nil {
			// The parser's message may quote the document, which may hold a
			// Secret.
			return nil, fmt.Errorf("document %d of the manifest is not a YAML map", n)
		}
		if len(content) == 0 {
			continue
		}
		objects, err := flatten(content)
		if err != nil {
			return nil, fmt.Errorf("document %d of the manifest: %w", n, err)
		}
		out = append(out, objects...)
	}
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
	return []Object{{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name, Content: content}}, nil
}

// ChangeKind says what happens to an object.
type ChangeKind string

// What happens to an object.
const (
	Added   ChangeKind = "added"
	Removed ChangeKind = "removed"
	Changed ChangeKind = "changed"
)

// Change is one object that differs between two manifests.
type Change struct {
	Kind   ChangeKind `json:"kind"`
	Object string     `json:"object"` // as Object.String
	// Fields are the dotted paths that differ, sorted; for a changed object
	// only. Values are not told: they may be secret.
	Fields []string `json:"fields,omitempty"`
}

// Diff compares two manifests object by object. Objects are matched by kind,
// namespace and name; order and formatting do not matter. The result is sorted
// by object.
func Diff(before, after []byte) ([]Change, error) {
	old, err := index(before)
	if err != nil {
		return nil, fmt.Errorf("diff: old manifest: %w", err)
	}
	now, err := index(after)
	if err != nil {
		return nil, fmt.Errorf("diff: new manifest: %w", err)
	}
	var out []Change
	for key, o := range old {
		n, ok := now[key]
		if !ok {
			out = append(out, Change{Kind: Removed, Object: o.String()})
			continue
		}
		var fields []string
		differ("", o.Content, n.Content, &fields)
		if len(fields) > 0 {
			slices.Sort(fields)
			out = append(out, Change{Kind: Changed, Object: n.String(), Fields: fields})
		}
	}
	for key, n := range now {
		if _, ok := old[key]; !ok {
			out = append(out, Change{Kind: Added, Object: n.String()})
		}
	}
	slices.SortFunc(out, func(a, b Change) int {
		if n := strings.Compare(a.Object, b.Object); n != 0 {
			return n
		}
		return strings.Compare(string(a.Kind), string(b.Kind))
	})
	return out, nil
}

func index(manifest []byte) (map[string]Object, error) {
	objects, err := ParseManifest(manifest)
	if err != nil {
		return nil, err
	}
	out := make(map[string]Object, len(objects))
	for _, o := range objects {
		out[o.Key()] = o
	}
	return out, nil
}

func differ(path string, a, b any, out *[]string) {
	am, aok := a.(map[string]any)
	bm, bok := b.(map[string]any)
	if aok && bok {
		for k, av := range am {
			differ(join(path, k), av, bm[k], out)
		}
		for k, bv := range bm {
			if _, ok := am[k]; !ok {
				differ(join(path, k), nil, bv, out)
			}
		}
		return
	}
	al, aok := a.([]any)
	bl, bok := b.([]any)
	if aok && bok && len(al) == len(bl) {
		for i := range al {
			differ(fmt.Sprintf("%s[%d]", path, i), al[i], bl[i], out)
		}
		return
	}
	if !equal(a, b) {
		*out = append(*out, path)
	}
}

func join(path, key string) string {
	if strings.ContainsAny(key, "./[") {
		key = fmt.Sprintf("[%q]", key)
		return path + key
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

func equal(a, b any) bool {
	am, err1 := yaml.Marshal(a)
	bm, err2 := yaml.Marshal(b)
	return err1 == nil && err2 == nil && bytes.Equal(am, bm)
}
