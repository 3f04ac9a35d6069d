package helm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"
	"time"

	"github.com/hubship/hubship/internal/model"
)

// needing is a chart that needs version of the chart dep.
func needing(repository, version, lock string) fs.FS {
	files := map[string]string{
		"c/Chart.yaml":       fmt.Sprintf("apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: dep, version: %q, repository: %q}]\n", version, repository),
		"c/templates/t.yaml": "top: 1\n",
	}
	if lock != "" {
		files["c/Chart.lock"] = fmt.Sprintf("dependencies: [{name: dep, version: %s, repository: %q}]\n", lock, repository)
	}
	return chartOf(files)
}

func depChart(t testing.TB, version string) string {
	return packaged(t, "dep", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: dep\nversion: " + version + "\n", "templates/x.yaml": "version: {{ .Chart.Version }}\n",
	})
}

func renderNeeding(t testing.TB, r *Renderer, tree fs.FS) (string, error) {
	t.Helper()
	out, err := r.Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns"})
	if err != nil {
		return "", err
	}
	return string(out.Manifest), nil
}

func write(t testing.TB, name, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestDependencyFromNamedFolders(t *testing.T) {
	dir := t.TempDir()
	for _, v := range []string{"1.2.0", "1.10.0", "2.0.0"} {
		write(t, filepath.Join(dir, "archives", "dep-"+v+".tgz"), depChart(t, v))
	}
	write(t, filepath.Join(dir, "unpacked/dep/Chart.yaml"), "apiVersion: v2\nname: dep\nversion: 1.5.0\n")
	write(t, filepath.Join(dir, "unpacked/dep/templates/x.yaml"), "version: {{ .Chart.Version }}\n")
	write(t, filepath.Join(dir, "lying/dep-1.2.0.tgz"), depChart(t, "9.9.9"))
	for _, tt := range []struct{ dir, version, lock, want string }{
		{"archives", "1.2.0", "", "1.2.0"}, {"archives", "1.x", "", "1.10.0"}, {"archives", "1.x", "1.2.0", "1.2.0"}, {"archives", ">=1", "", "2.0.0"},
		{"unpacked", "^1.3", "", "1.5.0"}, {"unpacked/dep", "1.5.0", "", "1.5.0"},
		{"archives", "3.0.0", "", ""}, {"unpacked", "2.x", "", ""}, {"lying", "1.2.0", "", ""}, {"absent", "1.2.0", "", ""},
	} {
		r := NewRenderer(RendererOptions{Charts: Charts{Dirs: []string{filepath.Join(dir, tt.dir)}}})
		out, err := renderNeeding(t, r, needing("https://charts.invalid", tt.version, tt.lock))
		if tt.want != "" {
			if err != nil || !strings.Contains(out, "version: "+tt.want+"\n") {
				t.Errorf("%v: %v\n%s", tt, err, out)
			}
			continue
		}
		var missed *MissingChartError
		if !errors.As(err, &missed) || missed.Name != "dep" || missed.Version != tt.version || len(missed.Tried) != 2 || !strings.Contains(model.HintOf(err), "--charts DIR") {
			t.Errorf("%v: error %v, hint %q", tt, err, model.HintOf(err))
		}
	}
}

// chartServer is a chart repository with one version of the chart dep.
func chartServer(t testing.TB, digest func(archive string) string) (address string, requests *atomic.Int32) {
	t.Helper()
	requests = &atomic.Int32{}
	archive := depChart(t, "1.2.0")
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch r.URL.Path {
		case "/index.yaml":
			_, _ = fmt.Fprintf(w, "apiVersion: v1\nentries: {dep: [{apiVersion: v2, name: dep, version: 1.2.0, digest: %q, urls: [dep-1.2.0.tgz]}]}\n", digest(archive))
		case "/dep-1.2.0.tgz":
			_, _ = w.Write([]byte(archive))
		default:
			http.NotFound(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s.URL, requests
}

func TestFetchedOnceForAllReleases(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	address, requests := chartServer(t, func(a string) string { return digestOf([]byte(a)) })
	cache := t.TempDir()
	r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: cache}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := renderNeeding(t, r, needing(address, "1.2.0", "")); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests, want one for the index and one for the chart", n)
	}
	// What was fetched is there without the network, for ranges too.
	off := NewRenderer(RendererOptions{Charts: Charts{CacheDir: cache, Offline: true}})
	for _, version := range []string{"1.2.0", "1.x"} {
		if _, err := renderNeeding(t, off, needing(address, version, "")); err != nil {
			t.Errorf("%s: %v", version, err)
		}
	}
	_, err := renderNeeding(t, off, needing(address, "2.x", ""))
	var missed *MissingChartError
	if !errors.As(err, &missed) || !strings.Contains(err.Error(), "offline") {
		t.Errorf("error %v", err)
	}
	// A damaged cache is not used.
	found, err := filepath.Glob(filepath.Join(cache, "content", "*.tgz"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the cache holds %v, %v", found, err)
	}
	write(t, found[0], depChart(t, "1.2.0")+"x")
	if _, err := renderNeeding(t, off, needing(address, "1.2.0", "")); err == nil {
		t.Error("a damaged archive was used")
	}
}

func TestWrongDigestIsRefused(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	address, requests := chartServer(t, func(string) string { return strings.Repeat("0", 64) })
	r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: t.TempDir()}})
	for range 3 {
		if _, err := renderNeeding(t, r, needing(address, "1.2.0", "")); err == nil || !strings.Contains(err.Error(), "does not match the digest in the index") {
			t.Errorf("error %v", err)
		}
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests: a failure was not remembered", n)
	}
}

func TestHelmsOwnCacheIsUsed(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HELM_REPOSITORY_CACHE", dir)
	write(t, filepath.Join(dir, "dep-1.2.0.tgz"), depChart(t, "1.2.0"))
	r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: t.TempDir(), Offline: true}})
	if out, err := renderNeeding(t, r, needing("https://charts.invalid", "~1.2", "1.2.0")); err != nil || !strings.Contains(out, "version: 1.2.0") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestFetchingIsBounded(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	over, end := context.WithCancel(context.Background())
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-r.Context().Done():
		case <-over.Done():
		}
	}))
	defer s.Close()
	defer end()
	for _, address := range []string{s.URL, "oci://" + strings.TrimPrefix(s.URL, "http://") + "/charts"} {
		r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: t.TempDir(), Timeout: 300 * time.Millisecond}})
		began := time.Now()
		for range 20 { // as many releases, one wait
			_, err := renderNeeding(t, r, needing(address, "1.2.0", ""))
			var missed *MissingChartError
			if !errors.As(err, &missed) {
				t.Errorf("error %v", err)
			}
		}
		if took := time.Since(began); took > time.Minute {
			t.Errorf("%s: it took %s", address, took)
		}
	}
}

func TestSourcesOfTheTreeOnly(t *testing.T) {
	// Links out of a tree are the tree's to refuse; a dependency must not lead
	// out by its path either.
	tree := needing("file://../../../etc", "1.0.0", "")
	if _, err := renderNeeding(t, NewRenderer(RendererOptions{}), tree); err == nil || !strings.Contains(err.Error(), "leads out of the repository") {
		t.Errorf("error %v", err)
	}
	linked := fstest.MapFS{
		"c/Chart.yaml":       &fstest.MapFile{Data: []byte("apiVersion: v2\nname: c\nversion: 1.0.0\n")},
		"c/templates/t.yaml": &fstest.MapFile{Data: []byte("../../../../etc/hostname"), Mode: fs.ModeSymlink | 0o777},
	}
	if out, err := renderNeeding(t, NewRenderer(RendererOptions{}), linked); err == nil {
		t.Errorf("a link out of the tree was followed:\n%s", out)
	}
}
