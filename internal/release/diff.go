package release

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hubship/hubship/internal/plan"
)

// Bounds of a comparison. What exceeds them is said in words instead.
const (
	maxDepth    = 100     // levels of nesting that are told apart
	maxFields   = 1000    // fields of one object
	maxDocument = 1 << 20 // bytes of a text that may be entered as a document
	maxKey      = 120     // characters of a key within a path
)

// Compare returns the objects that differ, in the order of their names.
// Objects are matched by group, kind, namespace and name; the order of objects
// and of keys, the way a number is written and the formatting of documents
// within texts do not matter. What is secret is masked, see plan.Field. Of a
// removed object only the field that says whether Helm keeps it is told.
func Compare(before, after []Object) []plan.Change {
	old, now := index(before), index(after)
	var out []plan.Change
	for key, o := range old {
		n, ok := now[key]
		if !ok {
			c := change(plan.Removed, o)
			if policy := o.annotation(keepPolicy); policy != "" {
				c.Fields = []plan.Field{{Path: `metadata.annotations["` + keepPolicy + `"]`, Before: policy}}
			}
			out = append(out, c)
			continue
		}
		if fields := compareObject(o, n); len(fields) > 0 {
			c := change(plan.Changed, n)
			c.Fields = fields
			out = append(out, c)
		}
	}
	for key, n := range now {
		if _, ok := old[key]; !ok {
			out = append(out, change(plan.Added, n))
		}
	}
	slices.SortFunc(out, func(a, b plan.Change) int {
		if n := strings.Compare(a.Object(), b.Object()); n != 0 {
			return n
		}
		if n := strings.Compare(a.APIVersion, b.APIVersion); n != 0 {
			return n
		}
		return strings.Compare(string(a.Change), string(b.Change))
	})
	return out
}

// keepPolicy is the annotation by which a chart asks Helm to leave an object
// when the release has it no more.
const keepPolicy = "helm.sh/resource-policy"

// CompareValues returns the settings that differ between two sets of values,
// in the order of their paths. Settings with a name like a secret's are masked.
// A null, which removes a chart's own default, is told as the text "null".
func CompareValues(before, after map[string]any) []plan.Field {
	c := comparison{nulls: true}
	c.maps(place{names: true}, before, after)
	return c.fields
}

func index(objects []Object) map[string]Object {
	out := make(map[string]Object, len(objects))
	for _, o := range objects {
		key := o.Key()
		if o.Hook {
			// Helm keeps hooks apart: an object that becomes one leaves the
			// release.
			key += " (hook)"
		}
		out[key] = o
	}
	return out
}

func change(kind plan.ChangeKind, o Object) plan.Change {
	c := plan.Change{Change: kind, APIVersion: o.APIVersion, Kind: o.Kind, Namespace: o.Namespace, Name: o.Name, Hook: o.Hook, Template: o.Template}
	for _, label := range []string{"component", "app.kubernetes.io/component"} {
		if c.Component == "" {
			c.Component = o.label(label)
		}
	}
	return c
}

func compareObject(a, b Object) []plan.Field {
	c := comparison{}
	p := place{}
	if group, _, ok := strings.Cut(b.APIVersion, "/"); ok && strings.Contains(group, ".") && !strings.HasSuffix(group, ".k8s.io") {
		// Of a kind that Kubernetes does not know, any field may be secret.
		p.names = true
	}
	p.core = b.Kind
	if strings.Contains(b.APIVersion, "/") {
		p.core = ""
	}
	c.maps(p, a.Content, b.Content)
	return c.fields
}

// place is where in an object a comparison is.
type place struct {
	path   string
	key    string // the last key
	above  string // the key above it
	core   string // at the top: the kind, of the core group
	depth  int
	secret bool // all below is secret
	names  bool // keys tell by their names whether they are secret
	texts  bool // texts may be documents
	base64 bool // texts are encoded
	env    bool // in an item whose name tells that its value is secret
}

// below returns the place under a key.
func (p place) below(key string) place {
	in := p
	in.path, in.above, in.key, in.depth, in.core = join(p.path, key), p.key, key, p.depth+1, ""
	in.secret = p.secret || p.names && secretName(key) || p.env && key == "value"
	in.env = false
	switch {
	case p.core == "Secret" && (key == "data" || key == "stringData"):
		in.secret, in.texts, in.base64 = true, true, key == "data"
	case p.core == "ConfigMap" && (key == "data" || key == "binaryData"):
		in.names, in.texts = true, true
	case key == "annotations" && p.key == "metadata":
		in.names, in.texts = true, true
	case p.key == "annotations" && key == lastApplied:
		in.secret = true
	}
	return in
}

// lastApplied is where kubectl keeps a copy of a whole object.
const lastApplied = "kubectl.kubernetes.io/last-applied-configuration"

// item returns the place of a list's item.
func (p place) item(id string) place {
	in := p
	in.path, in.depth, in.core = p.path+"["+id+"]", p.depth+1, ""
	return in
}

// comparison collects the fields that differ.
type comparison struct {
	fields []plan.Field
	nulls  bool // a null is something else than nothing
}

func (c *comparison) add(f plan.Field) {
	switch {
	case len(c.fields) < maxFields:
		c.fields = append(c.fields, f)
	case len(c.fields) == maxFields:
		c.fields = append(c.fields, plan.Field{Path: "…", Lines: []string{fmt.Sprintf(" … more than %d fields differ; the others are omitted", maxFields)}})
	}
}

func (c *comparison) maps(p place, a, b map[string]any) {
	for _, key := range keys(a, b) {
		av, aok := a[key]
		bv, bok := b[key]
		if c.nulls && aok != bok {
			// What comes or goes as a whole is told setting by setting.
			if at, isMap := av.(map[string]any); isMap && len(at) > 0 && p.depth < maxDepth {
				c.maps(p.below(key), at, nil)
				continue
			}
			if bt, isMap := bv.(map[string]any); isMap && len(bt) > 0 && p.depth < maxDepth {
				c.maps(p.below(key), nil, bt)
				continue
			}
			c.leaf(p.below(key), null(av, aok), null(bv, bok))
			continue
		}
		if !same(av, bv) {
			c.values(p.below(key), av, bv)
		}
	}
}

// null tells a null from nothing.
func null(v any, ok bool) any {
	if ok && v == nil {
		return "null"
	}
	return v
}

// values compares what is known to differ.
func (c *comparison) values(p place, a, b any) {
	if p.depth > maxDepth {
		c.add(plan.Field{Path: p.path, Lines: []string{" … nested too deeply to compare"}})
		return
	}
	if c.nulls {
		a, b = null(a, true), null(b, true)
	}
	switch at := a.(type) {
	case map[string]any:
		if bt, ok := b.(map[string]any); ok {
			c.maps(p, at, bt)
			return
		}
	case []any:
		if bt, ok := b.([]any); ok {
			c.lists(p, at, bt)
			return
		}
	case string:
		if bt, ok := b.(string); ok {
			c.texts(p, at, bt)
			return
		}
	}
	c.leaf(p, a, b)
}

// texts compares two texts, as documents where they are.
func (c *comparison) texts(p place, a, b string) {
	if p.texts {
		if p.base64 {
			// An encoded text that is none is compared as it is.
			a, b = decoded(a), decoded(b)
		}
		if short, other := unequal(a, b); len(short) < len(a) && c.documents(p, short, other) {
			return
		}
		if c.documents(p, a, b) {
			return
		}
	}
	c.leaf(p, a, b)
}

// documents compares two texts as documents, and says whether they are and
// differ as such.
func (c *comparison) documents(p place, a, b string) bool {
	am, ok := asDocument(a)
	if !ok {
		return false
	}
	bm, ok := asDocument(b)
	if !ok {
		return false
	}
	p.names, p.texts, p.base64, p.depth = true, false, false, p.depth+1
	had := len(c.fields)
	c.maps(p, am, bm)
	return len(c.fields) > had
}

func decoded(s string) string {
	raw, err := base64.StdEncoding.DecodeString(strings.TrimSpace(s))
	if err != nil || !utf8.Valid(raw) {
		return s
	}
	return string(raw)
}

// asDocument parses a text that is a YAML or JSON map, and nothing else.
func asDocument(text string) (map[string]any, bool) {
	if len(text) > maxDocument || !strings.Contains(text, ":") || strings.Contains(text, "\n---") {
		return nil, false
	}
	out, err := parseMap([]byte(text))
	return out, err == nil && len(out) > 0
}

// leaf notes two values that differ as wholes.
func (c *comparison) leaf(p place, a, b any) {
	f := plan.Field{Path: p.path}
	switch {
	case digests(p, a, b):
		f.Digest = true
	case p.secret && !switches(a, b):
		f.Masked = true
	default:
		c.shown(&f, p, a, b)
	}
	c.add(f)
}

// switches says that both are on, off or nothing, which is never a secret.
func switches(a, b any) bool {
	is := func(v any) bool {
		_, ok := v.(bool)
		return ok || v == nil
	}
	return is(a) && is(b)
}

// shown fills in the values, as far as they may be told.
func (c *comparison) shown(f *plan.Field, p place, a, b any) {
	as, aText := a.(string)
	bs, bText := b.(string)
	if (aText || a == nil) && (bText || b == nil) && (many(as) || many(bs)) && !p.entered(as, bs) {
		f.Lines = lines(as, bs)
		f.Masked = len(f.Lines) == 0
		return
	}
	f.Before, f.After = c.tell(p, a), c.tell(p, b)
	f.Masked = same(f.Before, f.After)
	if f.Masked {
		f.Before, f.After = nil, nil
	}
}

// entered says that the one text there is is a document with secrets in it,
// which cannot be told line by line.
func (p place) entered(a, b string) bool {
	if !p.texts || a != "" && b != "" {
		return false
	}
	doc, ok := asDocument(a + b)
	return ok && holdsSecret(doc, 0)
}

func many(s string) bool { return strings.Contains(strings.TrimRight(s, "\n"), "\n") }

// keys returns the keys of both maps, sorted.
func keys(a, b map[string]any) []string {
	out := make([]string, 0, len(a)+2)
	for k := range a {
		out = append(out, k)
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			out = append(out, k)
		}
	}
	slices.Sort(out)
	return out
}

// join appends a key to a dotted path. A key that would be taken for more than
// one is quoted.
func join(path, key string) string {
	if utf8.RuneCountInString(key) > maxKey {
		key = string([]rune(key)[:maxKey]) + "…"
	}
	if key == "" || strings.ContainsAny(key, ".[]\"'` \t\r\n") || !utf8.ValidString(key) {
		return fmt.Sprintf("%s[%q]", path, key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// same compares two values, numbers by what they mean.
func same(a, b any) bool {
	switch at := a.(type) {
	case map[string]any:
		bt, ok := b.(map[string]any)
		if !ok || len(at) != len(bt) {
			return false
		}
		for k, av := range at {
			bv, ok := bt[k]
			if !ok || !same(av, bv) {
				return false
			}
		}
		return true
	case []any:
		bt, ok := b.([]any)
		if !ok || len(at) != len(bt) {
			return false
		}
		for i := range at {
			if !same(at[i], bt[i]) {
				return false
			}
		}
		return true
	case string:
		bt, ok := b.(string)
		return ok && at == bt
	case bool:
		bt, ok := b.(bool)
		return ok && at == bt
	case nil:
		return b == nil
	}
	x, ok := number(a)
	y, also := number(b)
	if ok && also {
		return bytes.Equal(x, y)
	}
	return fmt.Sprintf("%T %v", a, a) == fmt.Sprintf("%T %v", b, b)
}
