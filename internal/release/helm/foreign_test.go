package helm

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	rspb "helm.sh/helm/v4/pkg/release/v1"

	"github.com/hubship/hubship/internal/cluster"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// runner is a chart with a hub, a part that is off, a sidecar of its own, and
// settings of a spawner.
func runner(values string, more map[string]string) fs.FS {
	files := map[string]string{
		"c/Chart.yaml":  "apiVersion: v2\nname: c\nversion: 1.0.0\nappVersion: \"7\"\n",
		"c/values.yaml": "hub: {image: {name: quay.io/x/hub, tag: 1}}\nextra: {enabled: false, image: {name: quay.io/x/off, tag: 1}}\nunused: {image: quay.io/x/unused:1}\nby: {image: {repository: quay.io/x/version}}\nsingleuser: {image: {name: quay.io/x/user, tag: 1}, profileList: []}\n",
		"c/templates/d.yaml": `apiVersion: apps/v1
kind: Deployment
metadata: {name: hub}
spec:
  template:
    spec:
      initContainers: [{name: i, image: "{{ .Values.by.image.repository }}:{{ .Values.by.image.tag | default .Chart.AppVersion }}"}]
      containers:
      - {name: hub, image: "{{ .Values.hub.image.name }}:{{ .Values.hub.image.tag }}"}
      - {name: side, image: docker.io/library/side:3}
      {{- range .Values.hub.extraContainers }}
      - {{ toYaml . | nindent 8 }}
      {{- end }}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: spawner}
data: {values: {{ .Values.singleuser | toJson | quote }}}
`,
		"values.yaml": values,
	}
	maps.Copy(files, more)
	return chartOf(files)
}

func newReleases(t *testing.T, via http.RoundTripper) *Releases {
	t.Helper()
	r, err := New(Options{Clusters: cluster.New(cluster.Options{}), CacheDir: t.TempDir(), Transport: via})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantOf(tree fs.FS, known model.Resolved) model.Upgrade {
	return model.Upgrade{
		Tree: tree, Resolved: known,
		Desired: model.Desired{Target: model.Target{Hub: "h", Environment: "staging", Namespace: "ns", Release: "rel"}, Chart: "c", Values: []string{"values.yaml"}},
	}
}

func TestForeignImages(t *testing.T) {
	tree := runner(`
hub:
  image: {tag: 2}
  extraContainers: [{name: x, image: "quay.io/x/extra:1"}]
singleuser:
  profileList:
  - kubespawner_override: {image: "quay.io/x/profile:1"}
custom:
  image: quay.io/x/custom:1
`, nil)
	u := wantOf(tree, model.Resolved{})
	u.Desired.Images = []model.Source{{Image: model.Image{ID: "user", Values: "singleuser.image"}}}
	u.Images = []model.Built{{ID: "user", Name: "r/user", Tag: "h-1", Digest: "sha256:" + strings.Repeat("c", 64)}}
	found, err := newReleases(t, nil).Foreign(t.Context(), u, false)
	if err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	for _, f := range found.Images {
		got[f.Ref] = fmt.Sprintf("%s %s:%d", f.At, f.File, f.Line)
	}
	want := map[string]string{
		"quay.io/x/hub:2":          "hub.image values.yaml:3",
		"quay.io/x/extra:1":        "hub.extraContainers[0].image values.yaml:4",
		"quay.io/x/profile:1":      "singleuser.profileList[0].kubespawner_override.image values.yaml:7",
		"quay.io/x/custom:1":       "custom.image values.yaml:9",
		"quay.io/x/version:7":      "by.image :0", // its tag is the chart's
		"docker.io/library/side:3": " :0",         // written into the template
	}
	if !maps.Equal(got, want) {
		t.Errorf("%v\nwant %v", got, want)
	}
}

// Values switch an image off only where something reads the switch: KubeSpawner
// starts what a profile names, whatever else the profile says.
func TestSwitchesThatNothingReads(t *testing.T) {
	for at, values := range map[string]string{
		"a profile":     `singleuser: {profileList: [{display_name: x, enabled: false, kubespawner_override: {image: "quay.io/x/evil:1"}}]}`,
		"an override":   `singleuser: {profileList: [{kubespawner_override: {enabled: false, image: "quay.io/x/evil:1"}}]}`,
		"the spawner":   `hub: {config: {KubeSpawner: {enabled: false, image: "quay.io/x/evil:1"}}}`,
		"all of it":     `singleuser: {enabled: false, image: {name: quay.io/x/evil, tag: 1}}`,
		"what is given": `custom: {enabled: false, image: "quay.io/x/evil:1"}`,
	} {
		found, err := newReleases(t, nil).Foreign(t.Context(), wantOf(runner(values, nil), model.Resolved{}), true)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.ContainsFunc(found.Images, func(f model.ForeignImage) bool { return f.Ref == "quay.io/x/evil:1" }) {
			t.Errorf("%s: an image that users' servers may run is not seen: %+v", at, found.Images)
		}
	}
}

// An image that a template names outright is what was proven too, also when its
// tag has moved since. What only looks alike is left alone.
func TestTemplatesCarryDigests(t *testing.T) {
	tree := runner("{}", map[string]string{"c/charts/sub/Chart.yaml": "apiVersion: v2\nname: sub\nversion: 1.0.0\n", "c/charts/sub/templates/p.yaml": `apiVersion: v1
kind: Pod
metadata: {name: sub}
spec:
  containers:
  - image: "docker.io/library/side:3"
    name: a
  - name: b
    image: docker.io/library/side:3 # a comment
  - {name: c, image: 'docker.io/library/side:3'}
  - {name: d, image: docker.io/library/side:31}
  - {name: e, image: docker.io/library/side:3-slim}
`})
	r, digest := newReleases(t, nil), "sha256:"+strings.Repeat("5", 64)
	before, _, err := r.charts.load(t.Context(), tree, "commit", "c", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	pinTemplates(before, []model.ResolvedImage{{Ref: "docker.io/library/side:3", Digest: digest}})
	c := &compiled{}
	if err := c.adopt(before, "c"); err != nil {
		t.Fatal(err)
	}
	made, err := r.renderer.renderChart(t.Context(), c, RenderRequest{Chart: "c", Release: "rel", Namespace: "ns", Values: map[string]any{}})
	if err != nil {
		t.Fatal(err)
	}
	runs := release.Runs(made.Objects)
	if !runs["docker.io/library/side:3@"+digest] || runs["docker.io/library/side:3"] || !runs["docker.io/library/side:31"] || !runs["docker.io/library/side:3-slim"] {
		t.Errorf("%v", runs)
	}
	again, _, err := r.charts.load(t.Context(), tree, "commit", "c", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range again.Dependencies()[0].Templates {
		if strings.Contains(string(f.Data), digest) {
			t.Error("the chart that others render was changed")
		}
	}
}

// A chart that looks around in the cluster, at the clock or at its revision
// renders there what no render before could tell.
func TestWhatIsRenderedInTheClusterIsProven(t *testing.T) {
	digest := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	u := model.Upgrade{
		Proven: true, Images: []model.Built{{ID: "user", Name: "r/user", Tag: "h-1", Digest: digest("1")}},
		Resolved: model.Resolved{Images: []model.ResolvedImage{{Ref: "quay.io/x/hub:1", Digest: digest("2")}}},
	}
	pod := func(spec string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: " + spec + "\n"
	}
	for spec, want := range map[string]bool{
		`{containers: [{name: c, image: "r/user:h-1@` + digest("1") + `"}]}`:                                                true,
		`{containers: [{name: c, image: "quay.io/x/hub:1@` + digest("2") + `"}, {name: d, image: "quay.io/x/hub:1"}]}`:      true,
		`{containers: [{name: c, image: "r/user:h-1"}]}`:                                                                    false,
		`{containers: [{name: c, image: "quay.io/x/evil:1"}]}`:                                                              false,
		`{containers: [{name: c, image: "quay.io/x/hub:1@` + digest("3") + `"}]}`:                                           false,
		`{initContainers: [{name: c, image: "quay.io/x/evil:1"}], containers: [{name: c, image: "quay.io/x/hub:1"}]}`:       false,
		`{containers: [{name: c, image: "quay.io/x/hub:1"}], volumes: [{name: v, image: {reference: "quay.io/x/evil:1"}}]}`: false,
	} {
		for _, rec := range []*rspb.Release{{Manifest: pod(spec)}, {Hooks: []*rspb.Hook{{Manifest: pod(spec)}}}} {
			up := &upgrade{Upgrade: u}
			if err := up.proven(rec); (err == nil) != want || err != nil && !errors.Is(err, model.ErrNotProven) {
				t.Errorf("%s: %v", spec, err)
			}
			if up.Proven = false; up.proven(rec) != nil {
				t.Errorf("%s: the first environment proves, and needs no proof", spec)
			}
		}
	}
}

// Images come as volumes, too.
func TestImagesAsVolumes(t *testing.T) {
	tree := runner("singleuser: {storage: {extraVolumes: [{name: v, image: {reference: \"quay.io/x/volume:1\"}}]}}", nil)
	found, err := newReleases(t, nil).Foreign(t.Context(), wantOf(tree, model.Resolved{}), true)
	if err != nil || !slices.ContainsFunc(found.Images, func(f model.ForeignImage) bool { return f.Ref == "quay.io/x/volume:1" }) {
		t.Errorf("%+v, %v", found.Images, err)
	}
}

// With what was resolved, the very objects carry digests, those of built images
// and of spawned ones too.
func TestObjectsCarryDigests(t *testing.T) {
	tree := runner("singleuser:\n  profileList:\n  - kubespawner_override: {image: \"quay.io/x/profile:1\"}\n", nil)
	digest := func(n string) string { return "sha256:" + strings.Repeat(n, 64) }
	u := wantOf(tree, model.Resolved{Images: []model.ResolvedImage{
		{Ref: "quay.io/x/hub:1", Digest: digest("1")}, {Ref: "quay.io/x/version:7", Digest: digest("2")}, {Ref: "quay.io/x/profile:1", Digest: digest("3")},
	}})
	u.Desired.Images = []model.Source{{Image: model.Image{ID: "user", Values: "singleuser.image"}}}
	u.Images = []model.Built{{ID: "user", Name: "r/user", Tag: "h-1", Digest: digest("4")}}
	r := newReleases(t, nil)
	values, _, err := r.values(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	ch, _, err := r.charts.load(t.Context(), tree, "", "c", nil, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := pinImages(ch, values, u.Resolved.Images); err != nil {
		t.Fatal(err)
	}
	out, err := NewRenderer(RendererOptions{}).Render(t.Context(), RenderRequest{Tree: tree, Chart: "c", Release: "rel", Namespace: "ns", Values: values})
	if err != nil {
		t.Fatal(err)
	}
	runs := release.Runs(out.Objects)
	for _, want := range []string{"quay.io/x/hub:1@" + digest("1"), "quay.io/x/version:7@" + digest("2")} {
		if !runs[want] {
			t.Errorf("no container runs %s: %v", want, runs)
		}
	}
	for _, want := range []string{"quay.io/x/profile:1@" + digest("3"), "h-1@" + digest("4")} {
		if !strings.Contains(string(out.Manifest), want) {
			t.Errorf("the spawner is not told %s:\n%s", want, out.Manifest)
		}
	}
}

// A dependency is resolved once. Later it is that archive, from the cache or
// fetched again, and nothing else that has its version by then.
func TestAChartIsTheArchiveThatWasProven(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	var other atomic.Bool
	var requests atomic.Int32
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		requests.Add(1)
		archive := depChart(t, "1.2.0")
		if other.Load() {
			archive = packaged(t, "dep", map[string]string{"Chart.yaml": "apiVersion: v2\nname: dep\nversion: 1.2.0\ndescription: other\n"})
		}
		switch r.URL.Path {
		case "/index.yaml":
			_, _ = fmt.Fprint(w, "apiVersion: v1\nentries: {dep: [{apiVersion: v2, name: dep, version: 1.2.0, urls: [dep-1.2.0.tgz]}]}\n")
		case "/dep-1.2.0.tgz":
			_, _ = w.Write([]byte(archive))
		default:
			http.NotFound(w, r)
		}
	}))
	defer s.Close()
	needs := func(repository, version string) fs.FS {
		return runner("{}", map[string]string{"c/Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: dep, version: %q, repository: %q}]\n", version, repository)})
	}
	first := newReleases(t, nil)
	found, err := first.Foreign(t.Context(), wantOf(needs(s.URL, "1.x"), model.Resolved{}), false)
	if err != nil || len(found.Charts) != 1 || found.Charts[0].Version != "1.2.0" || !strings.HasPrefix(found.Charts[0].Digest, "sha256:") {
		t.Fatalf("%+v, %v", found.Charts, err)
	}
	proven := model.Resolved{Charts: found.Charts}
	asked := requests.Load()
	other.Store(true)
	// From the cache, by its digest, whatever the repository has now.
	again, err := first.Foreign(t.Context(), wantOf(needs(s.URL, "1.x"), proven), true)
	if err != nil || again.Charts[0] != found.Charts[0] || requests.Load() != asked {
		t.Errorf("%+v, %v, %d requests", again.Charts, err, requests.Load()-asked)
	}
	// Without the cache it is fetched again, and is not what was proven.
	if _, err := newReleases(t, nil).Foreign(t.Context(), wantOf(needs(s.URL, "1.x"), proven), true); err == nil || !strings.Contains(err.Error(), "not the archive that was proven") || errors.Is(err, model.ErrUnknown) {
		t.Errorf("%v", err)
	}
	other.Store(false)
	if again, err := newReleases(t, nil).Foreign(t.Context(), wantOf(needs(s.URL, "1.x"), proven), true); err != nil || again.Charts[0] != found.Charts[0] {
		t.Errorf("%+v, %v", again.Charts, err)
	}
	// Nothing is resolved anew where everything has to be proven.
	asked = requests.Load()
	for _, tree := range []fs.FS{needs(s.URL, "2.x"), needs(s.URL+"/other", "1.x")} {
		if _, err := newReleases(t, nil).Foreign(t.Context(), wantOf(tree, proven), true); !errors.Is(err, model.ErrNotProven) {
			t.Errorf("%v", err)
		}
	}
	if requests.Load() != asked {
		t.Error("a repository was asked for what was never proven")
	}
	// A repository that answers that it has none convicts; one that does not
	// answer does not.
	if _, err := newReleases(t, nil).Foreign(t.Context(), wantOf(needs(s.URL, "9.x"), model.Resolved{}), false); err == nil || errors.Is(err, model.ErrUnknown) {
		t.Errorf("no such version: %v", err)
	}
	gone := s.URL
	s.Close()
	if _, err := newReleases(t, nil).Foreign(t.Context(), wantOf(needs(gone, "1.x"), model.Resolved{}), false); !errors.Is(err, model.ErrUnknown) {
		t.Errorf("a repository that is away: %v", err)
	}
}

func TestALockThatDoesNotFit(t *testing.T) {
	t.Setenv("HELM_REPOSITORY_CACHE", t.TempDir())
	address, _ := chartServer(t, func(a string) string { return digestOf([]byte(a)) })
	deps := []*chart.Dependency{{Name: "dep", Version: "1.x", Repository: address}}
	locked := []*chart.Dependency{{Name: "dep", Version: "1.2.0", Repository: address}}
	data, err := json.Marshal([2][]*chart.Dependency{deps, locked})
	if err != nil {
		t.Fatal(err)
	}
	for digest, fits := range map[string]bool{"sha256:" + digestOf(data): true, "sha256:" + strings.Repeat("0", 64): false} {
		tree := chartOf(map[string]string{
			"c/Chart.yaml": fmt.Sprintf("apiVersion: v2\nname: c\nversion: 1.0.0\ndependencies: [{name: dep, version: 1.x, repository: %q}]\n", address),
			"c/Chart.lock": fmt.Sprintf("dependencies: [{name: dep, version: 1.2.0, repository: %q}]\ndigest: %s\n", address, digest),
		})
		r := NewRenderer(RendererOptions{Charts: Charts{CacheDir: t.TempDir()}})
		if _, err := renderNeeding(t, r, tree); (err == nil) != fits || err != nil && !strings.Contains(err.Error(), "the Chart.lock of c does not match") {
			t.Errorf("%s: %v", digest, err)
		}
	}
}

// Repositories whose addresses differ only in what a file's name cannot have do
// not fill each other's place in the cache.
func TestTheCacheKeepsRepositoriesApart(t *testing.T) {
	s := newSources(Charts{CacheDir: t.TempDir()})
	mine := dependency{name: "dep", version: "1.2.0", repository: "https://host.example/me/a"}
	theirs := mine
	theirs.repository = "https://host.example/me_a"
	if err := s.keep(theirs, []byte(depChart(t, "1.2.0"))); err != nil {
		t.Fatal(err)
	}
	if _, err := s.cached(mine); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v: %s took the place of %s", err, theirs.repository, mine.repository)
	}
	if rel, err := filepath.Rel(s.o.CacheDir, s.reference(mine)); err != nil || strings.HasPrefix(rel, "..") {
		t.Errorf("%s", rel)
	}
}
