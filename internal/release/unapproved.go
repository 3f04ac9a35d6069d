package release

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/hubship/hubship/internal/model"
)

// Unapproved finds an image of a change that was not merged in values, wherever
// it stands. It returns the path of the text, or "".
func Unapproved(values map[string]any) string { return unapproved(values, "") }

func unapproved(v any, path string) string {
	switch v := v.(type) {
	case string:
		if NamesUnapproved(v) {
			return path
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			at := strings.TrimPrefix(path+"."+k, ".")
			if NamesUnapproved(k) {
				return at
			}
			if found := unapproved(v[k], at); found != "" {
				return found
			}
		}
	case []any:
		for i, e := range v {
			if found := unapproved(e, fmt.Sprintf("%s[%d]", path, i)); found != "" {
				return found
			}
		}
	}
	return ""
}

// NamesUnapproved says whether a text names an image of a change that was not
// merged, at whatever registry.
func NamesUnapproved(text string) bool { return strings.Contains(text, model.UnapprovedRepository) }
