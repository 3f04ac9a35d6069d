package helm

import (
	"bytes"
	"errors"
	"path"
	"regexp"
	"slices"
	"sort"
	"strings"
	"unicode"

	rspb "helm.sh/helm/v4/pkg/release/v1"
	releaseutil "helm.sh/helm/v4/pkg/release/v1/util"
	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/release"
)

// document is one YAML document that a template wrote.
type document struct {
	file    string
	text    string
	kind    string
	content map[string]any // nil when it was not read
	read    bool
}

// assemble puts what templates wrote into the order and the form in which
// `helm template` prints it: objects in install order, then hooks.
func assemble(files map[string]string, objects bool) (*Rendered, error) {
	var kept, hooks []document
	size := 0
	for _, file := range sortedFiles(files) {
		for _, text := range splitDocuments(files[file]) {
			d := document{file: file, text: text}
			hook, known, err := d.examine()
			if err != nil {
				return nil, err
			}
			if !known {
				continue // a hook of an unknown kind is left out
			}
			size += len(text) + len(file) + 20
			if hook {
				hooks = append(hooks, d)
			} else {
				kept = append(kept, d)
			}
		}
	}
	inInstallOrder(kept)
	inInstallOrder(hooks)
	out := bytes.NewBuffer(make([]byte, 0, size))
	for _, d := range kept {
		d.print(out)
	}
	main := bytes.TrimSpace(out.Bytes())
	rest := bytes.NewBuffer(append(main, '\n'))
	for _, d := range hooks {
		d.print(rest)
	}
	r := &Rendered{Manifest: rest.Bytes()}
	if !objects {
		return r, nil
	}
	for i, list := range [][]document{kept, hooks} {
		for _, d := range list {
			if err := d.objects(i == 1, &r.Objects); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// sortedFiles names the files with something in them, but for notes.
func sortedFiles(files map[string]string) []string {
	out := make([]string, 0, len(files))
	for name, text := range files {
		if !strings.HasSuffix(name, "NOTES.txt") && !strings.HasPrefix(path.Base(name), "_") && strings.TrimSpace(text) != "" {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return out
}

// splitDocuments cuts a text at lines that begin with "---", whatever follows
// there. Documents with nothing but white space are dropped.
func splitDocuments(text string) []string {
	text = strings.TrimLeftFunc(text, unicode.IsSpace)
	var out []string
	add := func(doc string) {
		if doc = strings.TrimLeftFunc(doc, unicode.IsSpace); doc != "" {
			out = append(out, doc)
		}
	}
	start := 0
	for at := 0; ; {
		if strings.HasPrefix(text[at:], "---") {
			add(text[start:at])
			at += 3
			for at < len(text) && (text[at] == ' ' || text[at] == '\t') {
				at++
			}
			start = at
		}
		end := strings.IndexByte(text[at:], '\n')
		if end < 0 {
			break
		}
		at += end + 1
	}
	add(text[start:])
	return out
}

func (d *document) print(out *bytes.Buffer) {
	out.WriteString("---\n# Source: ")
	out.WriteString(d.file)
	out.WriteByte('\n')
	out.WriteString(d.text)
	out.WriteByte('\n')
}

// examine finds out what a document is: its kind, whether it is a hook, and
// whether Helm knows that kind of hook.
func (d *document) examine() (hook, known bool, err error) {
	content, ok := readYAML(d.text)
	var notes map[string]string
	if ok {
		d.kind, notes, ok = headOf(content)
	}
	if ok {
		d.content, d.read = content, true
	} else {
		var h releaseutil.SimpleHead
		if err := yaml.Unmarshal([]byte(d.text), &h); err != nil {
			return false, false, &TemplateError{File: d.file, Message: "writes invalid YAML: " + withoutQuotes(err)}
		}
		d.kind = h.Kind
		if h.Metadata != nil {
			notes = h.Metadata.Annotations
		}
	}
	events, hook := notes[rspb.HookAnnotation]
	if !hook {
		return false, true, nil
	}
	for event := range strings.SplitSeq(events, ",") {
		if !slices.Contains(hookEvents, strings.ToLower(strings.TrimSpace(event))) {
			return true, false, nil
		}
	}
	return true, true, nil
}

var hookEvents = []string{
	rspb.HookPreInstall.String(), rspb.HookPostInstall.String(), rspb.HookPreDelete.String(), rspb.HookPostDelete.String(),
	rspb.HookPreUpgrade.String(), rspb.HookPostUpgrade.String(), rspb.HookPreRollback.String(), rspb.HookPostRollback.String(),
	rspb.HookTest.String(), "test-success",
}

// headOf reads kind and annotations. ok is false when they are not of the usual
// types, or when keys differ from the usual ones in case only: the library has
// rules for that.
func headOf(content map[string]any) (kind string, notes map[string]string, ok bool) {
	if !exactKeys(content, "apiVersion", "kind", "metadata") {
		return "", nil, false
	}
	if _, ok := text(content["apiVersion"]); !ok {
		return "", nil, false
	}
	if kind, ok = text(content["kind"]); !ok {
		return "", nil, false
	}
	if content["metadata"] == nil {
		return kind, nil, true
	}
	meta, ok := content["metadata"].(map[string]any)
	if !ok || !exactKeys(meta, "name", "annotations") {
		return "", nil, false
	}
	if _, ok := text(meta["name"]); !ok {
		return "", nil, false
	}
	if meta["annotations"] == nil {
		return kind, nil, true
	}
	all, ok := meta["annotations"].(map[string]any)
	if !ok {
		return "", nil, false
	}
	notes = make(map[string]string, len(all))
	for k, v := range all {
		if notes[k], ok = text(v); !ok {
			return "", nil, false
		}
	}
	return kind, notes, true
}

func text(v any) (string, bool) {
	if v == nil {
		return "", true
	}
	s, ok := v.(string)
	return s, ok
}

func exactKeys(m map[string]any, names ...string) bool {
	for k := range m {
		for _, name := range names {
			if k != name && strings.EqualFold(k, name) {
				return false
			}
		}
	}
	return true
}

// inInstallOrder sorts by kind, as the SDK does. What is of one kind, or of
// none that is known, keeps its order; unknown kinds come last, by name.
func inInstallOrder(docs []document) {
	sort.SliceStable(docs, func(i, j int) bool {
		a, knownA := installOrder[docs[i].kind]
		b, knownB := installOrder[docs[j].kind]
		switch {
		case knownA && knownB:
			return a < b
		case knownA || knownB:
			return knownA
		}
		return docs[i].kind < docs[j].kind
	})
}

var installOrder = func() map[string]int {
	out := make(map[string]int, len(releaseutil.InstallOrder))
	for i, kind := range releaseutil.InstallOrder {
		out[kind] = i
	}
	return out
}()

// objects adds the objects of the document, those of a list one by one.
func (d *document) objects(hook bool, into *[]release.Object) error {
	if !d.read {
		if err := yaml.Unmarshal([]byte(d.text), &d.content); err != nil {
			return &TemplateError{File: d.file, Message: "writes something other than a YAML map"}
		}
	}
	if len(d.content) == 0 {
		return nil
	}
	found := flatten(d.content)
	for i := range found {
		found[i].Template, found[i].Hook = d.file, hook
	}
	*into = append(*into, found...)
	return nil
}

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

var backquoted = regexp.MustCompile("`[^`]*`")

// withoutQuotes is the innermost reason of a YAML error, without the values
// that it quotes.
func withoutQuotes(err error) string {
	for next := err; next != nil; next = errors.Unwrap(next) {
		err = next
	}
	return backquoted.ReplaceAllString(err.Error(), "a value")
}
