package release

import (
	"reflect"
	"strings"
	"testing"
)

func parse(t *testing.T, s string) map[string]any {
	t.Helper()
	v, err := ParseValues([]byte(s))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestMerge(t *testing.T) {
	tests := []struct{ name, base, over, want string }{
		{"maps merge", "a: {b: 1, c: 2}", "a: {c: 3, d: 4}", "a: {b: 1, c: 3, d: 4}"},
		{"lists are replaced", "a: [1, 2]", "a: [3]", "a: [3]"},
		{"a map replaces a scalar", "a: 1", "a: {b: 2}", "a: {b: 2}"},
		{"a scalar replaces a map", "a: {b: 2}", "a: 1", "a: 1"},
		{"null stays, to remove the chart's default", "a: {b: 1, c: 2}", "a: {b: null}", "a: {b: null, c: 2}"},
		{"a map over null", "a: null", "a: {b: 1}", "a: {b: 1}"},
		{"empty", "", "", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := Merge(parse(t, tt.base), parse(t, tt.over))
			if want := parse(t, tt.want); !reflect.DeepEqual(got, want) {
				t.Errorf("got %v, want %v", got, want)
			}
		})
	}
}

func TestMergeSharesNothing(t *testing.T) {
	base, over := parse(t, "a: {b: {c: 1}}"), parse(t, "x: {l: [1, {z: 2}]}")
	got := Merge(base, over)
	got["a"].(map[string]any)["b"].(map[string]any)["c"] = "changed"
	got["x"].(map[string]any)["l"].([]any)[1].(map[string]any)["z"] = "changed"
	if !reflect.DeepEqual(base, parse(t, "a: {b: {c: 1}}")) || !reflect.DeepEqual(over, parse(t, "x: {l: [1, {z: 2}]}")) {
		t.Errorf("an argument was changed: %v, %v", base, over)
	}
}

func TestParseValuesRefusesOtherThanMaps(t *testing.T) {
	for _, s := range []string{"- 1", "text", "a: b: c"} {
		if _, err := ParseValues([]byte(s)); err == nil {
			t.Errorf("%q was accepted", s)
		}
	}
}

func TestSetImage(t *testing.T) {
	tests := []struct{ name, values, path, want, err string }{
		{"new", "", "jupyterhub.hub.image", "jupyterhub: {hub: {image: {name: img, tag: v1}}}", ""},
		{"keeps what else is there", "i: {name: old, tag: old, pullPolicy: Always}", "i", "i: {name: img, tag: v1, pullPolicy: Always}", ""},
		{"through null", "a: null", "a.b", "a: {b: {name: img, tag: v1}}", ""},
		{"not a map", "a: {b: text}", "a.b.c", "", "a.b is string"},
		{"empty path", "", "", "", "path is empty"},
		{"empty part", "", "a..b", "", "empty part"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			v := parse(t, tt.values)
			err := SetImage(v, tt.path, "img", "v1")
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("error %v, want one about %q", err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := parse(t, tt.want); !reflect.DeepEqual(v, want) {
				t.Errorf("got %v, want %v", v, want)
			}
		})
	}
}
