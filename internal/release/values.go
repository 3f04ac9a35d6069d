// Package release holds what is pure about Helm releases: merging values,
// masking what is secret, and comparing manifests.
package release

import (
	"errors"
	"fmt"
	"maps"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/model"
)

// ParseValues reads a values file. An empty file is an empty map; anything
// else that is not a map is an error.
func ParseValues(data []byte) (map[string]any, error) {
	var out map[string]any
	if err := yaml.Unmarshal(data, &out); err != nil {
		return nil, fmt.Errorf("parse values: %w", err)
	}
	if out == nil {
		out = map[string]any{}
	}
	return out, nil
}

// Merge lays over upon base as Helm lays one values file upon another: maps
// merge key by key, everything else, lists included, is replaced. A null stays
// in the result, where it removes the chart's own default. Neither argument is
// changed, and the result shares no map with them.
func Merge(base, over map[string]any) map[string]any {
	out := make(map[string]any, len(base)+len(over))
	for k, v := range base {
		out[k] = Copy(v)
	}
	for k, v := range over {
		if vm, ok := v.(map[string]any); ok {
			if bm, ok := out[k].(map[string]any); ok {
				out[k] = Merge(bm, vm)
				continue
			}
		}
		out[k] = Copy(v)
	}
	return out
}

// Copy returns a deep copy of a value made of maps, lists and scalars.
func Copy(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = Copy(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = Copy(e)
		}
		return out
	default:
		return v
	}
}

// SetImage puts an image's name and tag at a dotted path, as Zero to
// JupyterHub's charts take them. What else stands there, such as a pull
// policy, stays. Something on the way that is not a map is an error.
func SetImage(values map[string]any, path, name, tag string) error {
	return set(values, path, map[string]any{"name": name, "tag": tag})
}

// SetPinned puts a pinned image's reference at its dotted path, as Helm's
// --set-string does: without a tag the name alone.
func SetPinned(values map[string]any, p model.Pinned) error {
	what := map[string]any{"name": p.Name}
	if p.Tag != "" {
		what["tag"] = p.Tag
	}
	return set(values, p.Values, what)
}

func set(values map[string]any, path string, what map[string]any) error {
	if path == "" {
		return errors.New("set image: the path is empty")
	}
	at := values
	keys := strings.Split(path, ".")
	for i, key := range keys {
		if key == "" {
			return fmt.Errorf("set image: path %q has an empty part", path)
		}
		switch next := at[key].(type) {
		case map[string]any:
			at = next
		case nil:
			m := map[string]any{}
			at[key] = m
			at = m
		default:
			return fmt.Errorf("set image: %s is %T in the values, and should be a map", strings.Join(keys[:i+1], "."), next)
		}
	}
	maps.Copy(at, what)
	return nil
}
