package helm

import (
	"fmt"
	"strings"
	"testing"
)

// Of an index that may have megabytes only what it says of the chart is read,
// which takes a hundred times as much; and it says the same.
func TestIndexesAreReadInPart(t *testing.T) {
	const index = "apiVersion: v1\nentries:\n  hub:\n  - apiVersion: v2\n    name: hub\n    version: 1.2.0\n    description: |\n      text\n\n      hub:\n    urls:\n    - hub-1.2.0.tgz\n" +
		"  # a remark\n  \"other\":\n    - name: other\n      version: 3.0.0\n      urls: [other-3.0.0.tgz]\n  hub-two:\n  - {name: hub-two, version: 2.0.0, urls: [x]}\ngenerated: \"2026-01-01T00:00:00Z\"\n"
	json := `{"apiVersion":"v1","entries":{"hub":[{"apiVersion":"v2","name":"hub","version":"1.2.0","urls":["hub-1.2.0.tgz"]}],"other":[{"name":"other","version":"3.0.0","urls":["other-3.0.0.tgz"]}]}}`
	for _, text := range []string{index, strings.ReplaceAll(index, "\n", "\r\n"), json, "entries: {hub: [{name: hub, version: 1.2.0, urls: [hub-1.2.0.tgz]}], other: [{name: other, version: 3.0.0, urls: [other-3.0.0.tgz]}]}\napiVersion: v1\n"} {
		for name, version := range map[string]string{"hub": "1.2.0", "other": "3.0.0"} {
			part, err := sectionOf([]byte(text), name)
			if err != nil {
				t.Fatal(err)
			}
			read, err := readIndex(part)
			if err != nil {
				t.Fatalf("%v in\n%s", err, part)
			}
			if entry, err := read.Get(name, ""); err != nil || entry.Version != version || fmt.Sprint(entry.URLs) != "["+name+"-"+version+".tgz]" {
				t.Errorf("%s: %+v, %v in\n%s", name, entry, err, part)
			}
		}
	}
	large := strings.Replace(index, "  hub:\n", "  far:\n"+strings.Repeat("  - {}\n", 2<<20)+"  hub:\n", 1)
	if part, err := sectionOf([]byte(large), "hub"); err != nil || len(part) > 1000 {
		t.Errorf("%d bytes, %v", len(part), err)
	}
	if _, err := sectionOf([]byte(large), "far"); err == nil || !strings.Contains(err.Error(), "more than 8 MiB") {
		t.Errorf("%v", err)
	}
	part, err := sectionOf([]byte(large), "none")
	if err != nil {
		t.Fatal(err)
	}
	if read, err := readIndex(part); err != nil || read.Has("none", "") {
		t.Errorf("%+v, %v", read, err)
	}
}
