package check

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/agext/levenshtein"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	kubejson "k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/hubship/hubship/internal/plan"
	"github.com/hubship/hubship/internal/release"
)

// maxWrongTypes bounds the values of a wrong type that are looked for in one
// object: each takes several attempts.
const maxWrongTypes = 5

// distance is how many letters must be changed to get from one word to the
// other.
func distance(a, b string) int { return levenshtein.Distance(a, b, nil) }

// strict reads objects as the API server does that validates their fields.
var strict = kubejson.NewSerializerWithOptions(kubejson.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, kubejson.SerializerOptions{Strict: true})

// attempt decodes the content. unknown are the fields that the type does not
// have; err is a value that does not fit its field.
func attempt(content any, gvk schema.GroupVersionKind) (unknown []string, err error) {
	raw, err := json.Marshal(content)
	if err != nil {
		return nil, err
	}
	_, _, err = strict.Decode(raw, &gvk, nil)
	if list, ok := runtime.AsStrictDecodingError(err); ok {
		for _, e := range list.Errors() {
			if m := unknownField.FindStringSubmatch(e.Error()); m != nil {
				unknown = append(unknown, m[1])
			}
		}
		return unknown, nil
	}
	return nil, err
}

var unknownField = regexp.MustCompile(`^unknown field "(.*)"$`)

// decode reports unknown fields and values of a wrong type.
func (m *manifest) decode(gvk schema.GroupVersionKind) {
	content := release.Copy(m.object.Content)
	unknown, err := attempt(content, gvk)
	for n := 0; err != nil && n < maxWrongTypes; n++ {
		path, value := locate(&content, gvk, err)
		if path == nil {
			m.add(plan.Error, "cannot be read as a "+gvk.Kind+" of "+gvk.GroupVersion().String(), "check it with `kubectl apply --dry-run=server`")
			break
		}
		m.field(plan.Error, written(path), kindOf(value)+", where "+wanted(err)+" belongs", "")
		unknown, err = attempt(content, gvk)
	}
	for _, field := range unknown {
		hint := ""
		if near := neighbour(gvk, field); near != "" {
			hint = "did you mean " + near + "?"
		}
		m.field(plan.Error, field, "a field that "+gvk.GroupVersion().String()+" "+gvk.Kind+" does not have", hint)
	}
}

// locate finds the value that does not fit, and takes it out of the content:
// the innermost part without which the content is read without this error.
func locate(content *any, gvk schema.GroupVersionKind, err error) (path []string, value any) {
	gone := func() bool {
		_, now := attempt(*content, gvk)
		return now == nil || now.Error() != err.Error()
	}
	at := *content
	var take func()
	for len(path) < maxYAMLDepth {
		key, child, remove := part(at, gone)
		if remove == nil {
			break
		}
		path, value, take, at = append(path, key), child, remove, child
	}
	if take != nil {
		take()
	}
	return path, value
}

// part finds the part of a map or list without which the error is gone. What
// is tried is put back; take takes the part out for good, and is nil when
// there is no such part.
func part(of any, gone func() bool) (key string, value any, take func()) {
	switch of := of.(type) {
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(of)) {
			if k == "apiVersion" || k == "kind" {
				continue
			}
			v := of[k]
			delete(of, k)
			found := gone()
			of[k] = v
			if found {
				return k, v, func() { delete(of, k) }
			}
		}
	case []any:
		for i, v := range of {
			of[i] = nil
			found := gone()
			of[i] = v
			if found {
				return strconv.Itoa(i), v, func() { of[i] = nil }
			}
		}
	}
	return "", nil, nil
}

// written writes a path as Kubernetes does: spec.containers[0].image.
func written(path []string) string {
	var b strings.Builder
	for i, p := range path {
		_, err := strconv.Atoi(p)
		switch {
		case err == nil:
			b.WriteString("[" + p + "]")
		case strings.ContainsAny(p, "./[ "):
			fmt.Fprintf(&b, "[%q]", p)
		case i > 0:
			b.WriteString("." + p)
		default:
			b.WriteString(p)
		}
	}
	return b.String()
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "nothing"
	case string:
		return "text"
	case bool:
		return "true or false"
	case map[string]any:
		return "a map"
	case []any:
		return "a list"
	}
	return "a number"
}

var ofType = regexp.MustCompile(`(?:of type|Go value of type) (\S+)$`)

// wanted says what the field holds, from the decoder's error. The error itself
// may quote a value.
func wanted(err error) string {
	text := err.Error()
	switch {
	case strings.Contains(text, "quantities must match"), strings.Contains(text, "unable to parse quantity"):
		return "a quantity such as 500m or 2Gi"
	case strings.Contains(text, "parsing time"):
		return "a time such as 2006-01-02T15:04:05Z"
	case strings.Contains(text, "illegal base64"):
		return "text in base64"
	}
	found := ofType.FindStringSubmatch(text)
	if found == nil {
		return "something else"
	}
	kind := strings.TrimPrefix(found[1], "*")
	switch {
	case strings.HasPrefix(kind, "[]"):
		return "a list"
	case strings.HasPrefix(kind, "map["):
		return "a map"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number"
	case strings.HasPrefix(kind, "float"):
		return "a number"
	case kind == "string":
		return "text"
	case kind == "bool":
		return "true or false"
	}
	return "a map"
}

// neighbour returns the field that an unknown one may be meant for.
func neighbour(gvk schema.GroupVersionKind, field string) string {
	object, err := scheme.Scheme.New(gvk)
	if err != nil {
		return ""
	}
	at := reflect.TypeOf(object)
	names := strings.Split(listPlace.ReplaceAllString(field, ".*"), ".")
	for _, name := range names[:len(names)-1] {
		if at = inside(at, name); at == nil {
			return ""
		}
	}
	for at.Kind() == reflect.Pointer {
		at = at.Elem()
	}
	if at.Kind() != reflect.Struct {
		return ""
	}
	var have []string
	for name := range fieldsOf(at) {
		have = append(have, name)
	}
	return nearest(names[len(names)-1], have)
}

var listPlace = regexp.MustCompile(`\[\d+\]`)

// inside is the type of a field, or of the items of a list or map.
func inside(t reflect.Type, name string) reflect.Type {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch t.Kind() {
	case reflect.Slice, reflect.Map:
		return t.Elem()
	case reflect.Struct:
		return fieldsOf(t)[name]
	}
	return nil
}

// fieldsOf returns the fields of a struct by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "" && (f.Anonymous || options == "inline"):
			embedded := f.Type
			for embedded.Kind() == reflect.Pointer {
				embedded = embedded.Elem()
			}
			for n, ft := range fieldsOf(embedded) {
				out[n] = ft
			}
		case name != "" && name != "-":
			out[name] = f.Type
		}
	}
	return out
}
