package release

import (
	"reflect"
	"strings"
	"testing"
)

func TestParseManifest(t *testing.T) {
	objects, err := ParseManifest([]byte(`---
# Source: hub/templates/a.yaml
apiVersion: apps/v1
kind: Deployment
metadata: {name: hub, namespace: other}
---
# only a comment
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}
- {apiVersion: v1, kind: ConfigMap, metadata: {name: b}}`))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, o := range objects {
		got = append(got, o.Key()+" = "+o.String())
	}
	want := []string{"apps/Deployment other/hub = Deployment other/hub", "ConfigMap a = ConfigMap a", "ConfigMap b = ConfigMap b"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestParseManifestErrorsQuoteNothing(t *testing.T) {
	for _, s := range []string{"stringData: {token: topsecret", "just topsecret text", "kind: Secret\ndata: {a: topsecret}"} {
		_, err := ParseManifest([]byte(s))
		if err == nil {
			t.Errorf("%q was accepted", s)
		} else if strings.Contains(err.Error(), "topsecret") {
			t.Errorf("the error quotes the manifest: %v", err)
		}
	}
}

// A last line without an end, of exactly the reader's buffer, must not be lost.
func TestParseManifestKeepsLastLine(t *testing.T) {
	head := "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {k: "
	for _, size := range []int{4095, 4096, 4097, 8192} {
		doc := head + strings.Repeat("x", size-len(head)-1) + "}"
		objects, err := ParseManifest([]byte(doc))
		if err != nil || len(objects) != 1 {
			t.Errorf("%d bytes: %d objects, %v", size, len(objects), err)
		}
	}
}

// The end of a block text belongs to it, and what stands first in a document
// may be indented.
func TestParseManifestKeepsTexts(t *testing.T) {
	objects, err := ParseManifest([]byte("---\n\n  kind: ConfigMap\n  metadata: {name: a}\n  data:\n    k: |\n      text\n---\nkind: ConfigMap\nmetadata: {name: b}\ndata:\n  k: |+\n    text\n\n"))
	if err != nil || len(objects) != 2 {
		t.Fatalf("%d objects, %v", len(objects), err)
	}
	for i, want := range []string{"text\n", "text\n\n"} {
		if data, _ := objects[i].Content["data"].(map[string]any); data["k"] != want {
			t.Errorf("%s: %q, want %q", objects[i], data["k"], want)
		}
	}
}
