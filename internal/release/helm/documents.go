package helm

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode"

	rspb "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/release"
)

// documents makes manifests of what templates write.
type documents struct{}

func newDocuments() *documents { return &documents{} }

// document is one YAML document of a template.
type document struct {
	file    string
	text    string
	kind    string
	content map[string]any
}

// assemble puts the objects of rendered templates into the order and the form
// in which `helm template` prints them.
func (d *documents) assemble(files map[string]string, objects bool) (*Rendered, error) {
	for name := range files {
		if strings.HasSuffix(name, "NOTES.txt") {
			delete(files, name)
		}
	}
	hooks, manifests, err := releaseutil.SortManifests(files, nil, releaseutil.InstallOrder)
	if err != nil {
		return nil, err
	}
	var main, out bytes.Buffer
	for _, m := range manifests {
		fmt.Fprintf(&main, "---\n# Source: %s\n%s\n", m.Name, m.Content)
	}
	out.WriteString(strings.TrimSpace(main.String()))
	out.WriteByte('\n')
	for _, h := range hooks {
		fmt.Fprintf(&out, "---\n# Source: %s\n%s\n", h.Path, h.Manifest)
	}
	r := &Rendered{Manifest: out.Bytes()}
	if !objects {
		return r, nil
	}
	for _, m := range manifests {
		o, err := documentObjects(m.Name, m.Content, false)
		if err != nil {
			return nil, err
		}
		r.Objects = append(r.Objects, o...)
	}
	for _, h := range hooks {
		o, err := documentObjects(h.Path, h.Manifest, true)
		if err != nil {
			return nil, err
		}
		r.Objects = append(r.Objects, o...)
	}
	return r, nil
}

func documentObjects(file, text string, hook bool) ([]release.Object, error) {
	var content map[string]any
	if err := yaml.Unmarshal([]byte(text), &content); err != nil {
		return nil, &TemplateError{File: file, Message: "writes YAML that is not a map"}
	}
	if len(content) == 0 {
		return nil, nil
	}
	out := flatten(content)
	for i := range out {
		out[i].Template, out[i].Hook = file, hook
	}
	return out, nil
}

var _ = maps.Keys[map[string]int]
var _ = slices.Sort[[]int]
var _ = unicode.IsSpace
var _ rspb.Hook

// flatten returns the object that a document holds, or those of a list. What
// has no kind or no name is returned as it is.
func flatten(content map[string]any) []release.Object {
	kind, _ := content["kind"].(string)
	if items, ok := content["items"].([]any); ok && strings.HasSuffix(kind, "List") {
		var out []release.Object
		for _, item := range items {
			if m, ok := item.(map[string]any); ok {
				out = append(out, flatten(m)...)
			}
		}
		return out
	}
	apiVersion, _ := content["apiVersion"].(string)
	meta, _ := content["metadata"].(map[string]any)
	name, _ := meta["name"].(string)
	namespace, _ := meta["namespace"].(string)
	return []release.Object{{APIVersion: apiVersion, Kind: kind, Namespace: namespace, Name: name, Content: content}}
}
