package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"fmt"
	"strings"
	"testing"
)

// tgz is an archive of a chart.
func tgz(t *testing.T, name string, files map[string]string) string {
	t.Helper()
	var out bytes.Buffer
	zip := gzip.NewWriter(&out)
	list := tar.NewWriter(zip)
	files["Chart.yaml"] = "apiVersion: v2\nname: " + name + "\nversion: 1.0.0\n" + files["Chart.yaml"]
	for file, text := range files {
		if err := list.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(text))}); err != nil {
			t.Fatal(err)
		}
		if _, err := list.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := list.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zip.Close(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// Archives within archives of charts, each of a few kilobytes, hold gigabytes
// together. They come with a change, or from a repository that it names.
func TestArchivesWithinArchivesAreBounded(t *testing.T) {
	large := tgz(t, "large", map[string]string{"data": strings.Repeat("x", 60<<20)})
	deep := tgz(t, "deep", map[string]string{})
	for range maxDepth + 1 {
		deep = tgz(t, "deep", map[string]string{"charts/deep.tgz": deep})
	}
	for name, tt := range map[string]struct {
		files map[string]string
		want  string // empty: it is taken
	}{
		"one":               {map[string]string{"charts/large.tgz": large}, ""},
		"two":               {map[string]string{"charts/a.tgz": large, "charts/b.tgz": large}, "more than 100 MiB in all"},
		"one within others": {map[string]string{"charts/a.tgz": tgz(t, "a", map[string]string{"charts/large.tgz": large}), "charts/x/charts/b.tgz": large, "charts/x/Chart.yaml": "apiVersion: v2\nname: x\nversion: 1.0.0\n"}, "more than 100 MiB in all"},
		"deep":              {map[string]string{"charts/deep.tgz": deep}, "deep"},
		"values":            {map[string]string{"charts/a.tgz": tgz(t, "a", map[string]string{"values.yaml": strings.Repeat("- 0\n", 2<<20)})}, "values.yaml has"},
		"a description":     {map[string]string{"charts/a.tgz": tgz(t, "a", map[string]string{"Chart.yaml": strings.Repeat("# x\n", 2<<20)})}, "Chart.yaml has"},
	} {
		t.Run(name, func(t *testing.T) {
			inTree := map[string]string{}
			for file, text := range tt.files {
				inTree["c/"+file] = text
			}
			_, inChart := newChartLoader(chartOf(inTree), nil).load("c", 0)
			_, fetched := parseChart([]byte(tgz(t, "c", tt.files)))
			for way, err := range map[string]error{"in the repository": inChart, "fetched": fetched} {
				if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(fmt.Sprint(err), tt.want) {
					t.Errorf("%s: %v", way, err)
				}
			}
		})
	}
}
