package helm

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"io/fs"
	"log"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/fstest"

	ggcr "github.com/google/go-containerregistry/pkg/registry"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/registry"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// repository is the deployment repository in testdata, with files changed,
// added, or removed where the content is "-".
func repository(t testing.TB, changes map[string]string) fs.FS {
	t.Helper()
	tree := fstest.MapFS{}
	base := os.DirFS("testdata/repo")
	err := fs.WalkDir(base, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := fs.ReadFile(base, name)
		tree[name] = &fstest.MapFile{Data: data, Mode: 0o644}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range changes {
		if content == "-" {
			delete(tree, name)
			continue
		}
		tree[name] = &fstest.MapFile{Data: []byte(content), Mode: 0o644}
	}
	return tree
}

// plain stands for a decryption of files that the tests do not encrypt.
func plain(_ context.Context, _ model.Desired, _ string, data []byte) (map[string]any, error) {
	return release.ParseValues(data)
}

// offlineRenderer renders what would be upgraded, without a cluster.
type offlineRenderer struct {
	releases *Releases
	*Renderer
}

func offline(t testing.TB, cacheDir string) offlineRenderer {
	t.Helper()
	r, err := New(Options{Clusters: cluster.New(cluster.Options{}), Decrypt: plain, CacheDir: cacheDir})
	if err != nil {
		t.Fatal(err)
	}
	return offlineRenderer{r, NewRenderer(RendererOptions{Charts: Charts{CacheDir: cacheDir}})}
}

func (r offlineRenderer) upgrade(ctx context.Context, u model.Upgrade) ([]byte, error) {
	values, _, err := r.releases.values(ctx, u)
	if err != nil {
		return nil, err
	}
	out, err := r.Render(ctx, RenderRequest{
		Tree: u.Tree, Chart: u.Desired.Chart, Key: u.Desired.Commit, Release: u.Desired.Target.Release, Namespace: u.Desired.Target.Namespace,
		Values: values,
	})
	if err != nil {
		return nil, err
	}
	return out.Manifest, nil
}

func wanted(tree fs.FS) model.Upgrade {
	return model.Upgrade{
		Tree: tree,
		Desired: model.Desired{
			Target: model.Target{Hub: "data8", Environment: "staging", Cluster: "local", Namespace: "data8-staging", Release: "data8-staging"},
			Chart:  "hub", Values: []string{"config/common.yaml", "config/staging.yaml"}, Secrets: []string{"secrets/staging.yaml"},
			Images: []model.Source{{Image: model.Image{ID: "user", Name: "user", Values: "deployment.image"}}},
		},
		Images: []model.Built{{ID: "user", Name: "registry/user", Tag: "abc", Digest: "sha256:" + strings.Repeat("d", 64)}},
	}
}

func names(t *testing.T, manifest []byte) []string {
	t.Helper()
	objects, err := release.ParseManifest(manifest)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, o := range objects {
		out = append(out, o.String())
	}
	slices.Sort(out)
	return out
}

func TestRender(t *testing.T) {
	manifest, err := offline(t, "").upgrade(t.Context(), wanted(repository(t, nil)))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"ConfigMap data8-staging-config", "ConfigMap data8-staging-leaf", "ConfigMap data8-staging-sub", "Secret data8-staging-secret"}
	if got := names(t, manifest); !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, s := range []string{`greeting: "from staging"`, `image: "registry/user:abc@sha256:` + strings.Repeat("d", 64) + `"`, "token: \"ZGVjcnlwdGVkLXRva2VuLTE=\""} {
		if !strings.Contains(string(manifest), s) {
			t.Errorf("%q is not in the manifest:\n%s", s, manifest)
		}
	}
}

func TestRenderErrors(t *testing.T) {
	tests := []struct {
		name    string
		changes map[string]string
		want    string
	}{
		{"no chart", map[string]string{"hub/Chart.yaml": "-"}, "Chart.yaml is missing"},
		{"no values file", map[string]string{"config/staging.yaml": "-"}, "config/staging.yaml"},
		{"bad values", map[string]string{"config/staging.yaml": "a: b: c"}, "config/staging.yaml"},
		{"no dependency", map[string]string{"sub/Chart.yaml": "-"}, "dependency sub"},
		{"dependency out of the tree", map[string]string{"hub/Chart.yaml": chartYAML("file://../../etc")}, "leads out of the repository"},
		{"absolute dependency", map[string]string{"hub/Chart.yaml": chartYAML("file:///etc")}, "leads out of the repository"},
		{"wrong version", map[string]string{"sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.0.9\n"}, `requires version ">=0.1.0"`},
		{"dependency on itself", map[string]string{"hub/Chart.yaml": strings.ReplaceAll(chartYAML("file://."), "name: sub", "name: hub")}, "depend on each other"},
		{"unfetchable", map[string]string{"hub/Chart.yaml": chartYAML("https://charts.invalid")}, "fetching is not allowed"},
		{"no repository", map[string]string{"hub/Chart.yaml": chartYAML("")}, "has no repository"},
		{"a file too large", map[string]string{"hub/big": strings.Repeat("x", maxFile+1)}, "exclude it with .helmignore"},
		{"image path", map[string]string{"config/staging.yaml": "deployment: {image: text}"}, "deployment.image is string"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := offline(t, "").upgrade(t.Context(), wanted(repository(t, tt.changes)))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}

func chartYAML(repository string) string {
	return "apiVersion: v2\nname: hub\nversion: 1.2.3\ndependencies: [{name: sub, version: \">=0.1.0\", repository: \"" + repository + "\"}]\n"
}

func TestChartSizeIsBounded(t *testing.T) {
	changes := map[string]string{}
	part := strings.Repeat("x", maxFile)
	for _, n := range []string{"a", "b", "c", "d", "e", "f"} {
		changes["hub/"+n] = part
	}
	_, err := offline(t, "").upgrade(t.Context(), wanted(repository(t, changes)))
	if err == nil || !strings.Contains(err.Error(), "the chart is larger") {
		t.Errorf("error %v, want one about the chart's size", err)
	}
}

// Releases share a loaded chart, and must not share what Helm does to it: a
// subchart that one of them switches off must not vanish for the others.
func TestRenderSideBySideFromOneChart(t *testing.T) {
	r := offline(t, "")
	without := repository(t, map[string]string{"config/staging.yaml": "sub: {enabled: false}"})
	with := repository(t, nil)
	var wg sync.WaitGroup
	for i := range 20 {
		wg.Go(func() {
			tree, want := with, 4
			if i%2 == 0 {
				tree, want = without, 2
			}
			u := wanted(tree)
			u.Desired.Commit = "the same for all"
			manifest, err := r.upgrade(context.Background(), u)
			if err != nil {
				t.Error(err)
				return
			}
			if objects, err := release.ParseManifest(manifest); err != nil || len(objects) != want {
				t.Errorf("render %d: %d objects, %v; want %d", i, len(objects), err, want)
			}
		})
	}
	wg.Wait()
}

func TestVendoredDependencies(t *testing.T) {
	leaf := "apiVersion: v2\nname: leaf\nversion: 0.0.1\n"
	tests := map[string]map[string]string{
		"folder":  {"sub/charts/leaf/Chart.yaml": leaf, "sub/charts/leaf/templates/x.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: vendored}\n"},
		"archive": {"sub/charts/leaf-0.0.1.tgz": packaged(t, "leaf", map[string]string{"Chart.yaml": leaf, "templates/x.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: vendored}\n"})},
	}
	for name, changes := range tests {
		t.Run(name, func(t *testing.T) {
			changes["leaf/Chart.yaml"] = "-" // it must not be needed
			manifest, err := offline(t, "").upgrade(t.Context(), wanted(repository(t, changes)))
			if err != nil {
				t.Fatal(err)
			}
			if got := names(t, manifest); !slices.Contains(got, "ConfigMap vendored") {
				t.Errorf("got %q", got)
			}
		})
	}
}

// packaged makes a chart's archive.
func packaged(t testing.TB, name string, files map[string]string) string {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, file := range slices.Sorted(maps.Keys(files)) {
		if err := tw.WriteHeader(&tar.Header{Name: name + "/" + file, Mode: 0o644, Size: int64(len(files[file]))}); err != nil {
			t.Fatal(err)
		}
		if _, err := tw.Write([]byte(files[file])); err != nil {
			t.Fatal(err)
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zw.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.String()
}

func TestDependencyFromRepository(t *testing.T) {
	archive := map[string]string{}
	for _, v := range []string{"0.1.0", "0.2.0"} {
		archive["/sub-"+v+".tgz"] = packaged(t, "sub", map[string]string{
			"Chart.yaml":       "apiVersion: v2\nname: sub\nversion: " + v + "\n",
			"templates/x.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: fetched-" + v + "}\n",
		})
	}
	var requests atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		switch {
		case r.URL.Path == "/index.yaml":
			_, _ = w.Write([]byte("apiVersion: v1\nentries: {sub: [{name: sub, version: 0.2.0, urls: [sub-0.2.0.tgz]}, {name: sub, version: 0.1.0, urls: [sub-0.1.0.tgz]}]}\n"))
		case archive[r.URL.Path] != "":
			_, _ = w.Write([]byte(archive[r.URL.Path]))
		default:
			http.NotFound(w, r)
		}
	}))
	defer server.Close()
	lock := "dependencies: [{name: sub, version: 0.1.0, repository: \"" + server.URL + "\"}]\n"
	cache := t.TempDir()

	newest := wanted(repository(t, map[string]string{"hub/Chart.yaml": chartYAML(server.URL)}))
	manifest, err := offline(t, cache).upgrade(t.Context(), newest)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(t, manifest); !slices.Contains(got, "ConfigMap fetched-0.2.0") {
		t.Errorf("without a lock the newest version was wanted; got %q", got)
	}
	locked := wanted(repository(t, map[string]string{"hub/Chart.yaml": chartYAML(server.URL), "hub/Chart.lock": lock}))
	for i := range 2 { // the second time from the cache
		before := requests.Load()
		manifest, err := offline(t, cache).upgrade(t.Context(), locked)
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, manifest); !slices.Contains(got, "ConfigMap fetched-0.1.0") {
			t.Errorf("the locked version was wanted; got %q", got)
		}
		if asked := requests.Load() - before; i == 1 && asked != 0 {
			t.Errorf("a locked version in the cache was asked for %d times", asked)
		}
	}
	server.Close()
	if _, err := offline(t, cache).upgrade(t.Context(), locked); err != nil {
		t.Errorf("with the repository gone: %v", err)
	}
	_, err = offline(t, t.TempDir()).upgrade(t.Context(), locked)
	if err == nil || !strings.Contains(err.Error(), server.URL) || !strings.Contains(err.Error(), "dependency sub 0.1.0 of chart hub") || model.HintOf(err) == "" {
		t.Errorf("error %v, hint %q", err, model.HintOf(err))
	}
}

func TestDependencyFromRegistry(t *testing.T) {
	server := httptest.NewServer(ggcr.New(ggcr.Logger(log.New(io.Discard, "", 0))))
	defer server.Close()
	address := strings.TrimPrefix(server.URL, "http://")
	client, err := registry.NewClient(registry.ClientOptPlainHTTP(), registry.ClientOptWriter(io.Discard))
	if err != nil {
		t.Fatal(err)
	}
	archive := packaged(t, "sub", map[string]string{
		"Chart.yaml": "apiVersion: v2\nname: sub\nversion: 0.3.0\n", "templates/x.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: pulled}\n",
	})
	if _, err := client.Push([]byte(archive), address+"/charts/sub:0.3.0"); err != nil {
		t.Fatal(err)
	}
	tree := repository(t, map[string]string{"hub/Chart.yaml": strings.ReplaceAll(chartYAML("oci://"+address+"/charts"), ">=0.1.0", "0.3.0")})
	cache := t.TempDir()
	for range 2 {
		manifest, err := offline(t, cache).upgrade(t.Context(), wanted(tree))
		if err != nil {
			t.Fatal(err)
		}
		if got := names(t, manifest); !slices.Contains(got, "ConfigMap pulled") {
			t.Errorf("got %q", got)
		}
		server.Close() // the second time from the cache
	}
}

func TestAliasedDependency(t *testing.T) {
	yaml := "apiVersion: v2\nname: hub\nversion: 1.2.3\ndependencies:\n" +
		"- {name: sub, version: 0.1.0, repository: \"file://../sub\", alias: one}\n- {name: sub, version: 0.1.0, repository: \"file://../sub\", alias: two}\n"
	tree := repository(t, map[string]string{"hub/Chart.yaml": yaml, "sub/templates/config.yaml": "kind: ConfigMap\napiVersion: v1\nmetadata: {name: {{ .Chart.Name }}}\n"})
	manifest, err := offline(t, "").upgrade(t.Context(), wanted(tree))
	if err != nil {
		t.Fatal(err)
	}
	got := names(t, manifest)
	if !slices.Contains(got, "ConfigMap one") || !slices.Contains(got, "ConfigMap two") {
		t.Errorf("got %q", got)
	}
}

func TestCopyChartKeepsTheOriginal(t *testing.T) {
	l := newChartLoader(repository(t, nil), nil)
	c, err := l.load("hub", 0)
	if err != nil {
		t.Fatal(err)
	}
	cp := copyChart(c)
	cp.Metadata.Dependencies[0].Enabled = true
	cp.Metadata.Dependencies = nil
	cp.Values["greeting"] = "changed"
	cp.SetDependencies()
	if c.Metadata.Dependencies[0].Enabled || c.Values["greeting"] != "hello" || len(c.Dependencies()) != 1 || c.Dependencies()[0].Parent() != c {
		t.Error("changing the copy changed the original")
	}
	var depth func(*chart.Chart) int
	depth = func(c *chart.Chart) int {
		n := 1
		for _, d := range c.Dependencies() {
			n += depth(d)
		}
		return n
	}
	if n := depth(copyChart(c)); n != 3 {
		t.Errorf("the copy has %d charts, want 3", n)
	}
}
