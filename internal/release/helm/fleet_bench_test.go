package helm

import (
	"bytes"
	"context"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"sigs.k8s.io/yaml"

	"github.com/hubship/hubship/internal/release"
)

// benchFleet is one fleet to render: releases as the renderer takes them, and
// as the command line does.
type benchFleet struct {
	requests []RenderRequest
	folder   string     // with the chart, complete, in a folder of its own
	files    [][]string // values files of each release
}

// generatedFleet is 54 releases of the chart in testdata.
func generatedFleet(b *testing.B) benchFleet {
	b.Helper()
	tree, requests := fleet(b, 27)
	dir := b.TempDir()
	if err := os.CopyFS(dir, tree); err != nil {
		b.Fatal(err)
	}
	if err := os.CopyFS(filepath.Join(dir, "hub", "charts", "notebooks"), os.DirFS(filepath.Join(dir, "notebooks"))); err != nil {
		b.Fatal(err)
	}
	f := benchFleet{requests: requests, folder: filepath.Join(dir, "hub")}
	for _, q := range requests {
		data, err := yaml.Marshal(q.Values)
		if err != nil {
			b.Fatal(err)
		}
		name := filepath.Join(dir, q.Release+".yaml")
		if err := os.WriteFile(name, data, 0o600); err != nil {
			b.Fatal(err)
		}
		f.files = append(f.files, []string{name})
	}
	return f
}

// preparedFleet is a repository in a folder, in hubploy's layout, with its
// chart's dependencies in charts/ and secrets that are not encrypted.
func preparedFleet(b *testing.B, dir string) benchFleet {
	b.Helper()
	tree := os.DirFS(dir)
	hubs, err := fs.Glob(tree, "deployments/*/hubploy.yaml")
	if err != nil || len(hubs) == 0 {
		b.Fatalf("no hubs in %s: %v", dir, err)
	}
	f := benchFleet{folder: filepath.Join(dir, "hub")}
	for _, at := range hubs {
		hub := filepath.Dir(at)
		if strings.Contains(hub, "{{") {
			continue
		}
		for _, env := range []string{"staging", "prod"} {
			q := RenderRequest{Tree: tree, Chart: "hub", Key: "fleet", Release: filepath.Base(hub) + "-" + env, Values: map[string]any{}}
			q.Namespace = q.Release
			var files []string
			for _, name := range []string{"config/common.yaml", "config/" + env + ".yaml", "secrets/" + env + ".yaml"} {
				data, err := os.ReadFile(filepath.Join(dir, hub, name))
				if err != nil {
					continue
				}
				q.Values = release.Merge(q.Values, valuesOf(b, string(data)))
				files = append(files, filepath.Join(dir, hub, name))
			}
			f.requests, f.files = append(f.requests, q), append(f.files, files)
		}
	}
	return f
}

// byHelm renders a release by the command line.
func byHelm(ctx context.Context, program, folder string, q RenderRequest, files []string) ([]byte, error) {
	args := []string{"template", "--namespace", q.Namespace, q.Release, folder}
	for _, f := range files {
		args = append(args, "-f", f)
	}
	return exec.CommandContext(ctx, program, args...).Output()
}

// all renders every release, on as many workers as there are processors, with
// nothing kept from before.
func (f benchFleet) all(b *testing.B, objects bool, version string) map[string][]byte {
	r := NewRenderer(RendererOptions{KubeVersion: version})
	out, next := make([][]byte, len(f.requests)), make(chan int)
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			for i := range next {
				q := f.requests[i]
				q.NoObjects = !objects
				got, err := r.Render(b.Context(), q)
				if err != nil {
					b.Error(err)
					continue
				}
				out[i] = got.Manifest
			}
		})
	}
	for i := range f.requests {
		next <- i
	}
	close(next)
	wg.Wait()
	all := map[string][]byte{}
	for i, q := range f.requests {
		all[q.Release] = out[i]
	}
	return all
}

// BenchmarkFleet renders a fleet of 54 releases from nothing, and says how
// many times as long the command line takes, one `helm template` a release, if
// HUBSHIP_BENCH_HELM names it. What both write is equal, or it fails.
// HUBSHIP_BENCH_FLEET names a folder with a real repository to do the same
// with.
func BenchmarkFleet(b *testing.B) {
	b.Run("generated", func(b *testing.B) { benchmarkFleet(b, generatedFleet(b)) })
	if dir := os.Getenv("HUBSHIP_BENCH_FLEET"); dir != "" {
		b.Run("repository", func(b *testing.B) { benchmarkFleet(b, preparedFleet(b, dir)) })
	}
}

func benchmarkFleet(b *testing.B, f benchFleet) {
	program, version := os.Getenv("HUBSHIP_BENCH_HELM"), ""
	var helm time.Duration
	if program != "" {
		version = helmKube(b, program)
		ours := f.all(b, false, version)
		for i, q := range f.requests {
			began := time.Now()
			want, err := byHelm(b.Context(), program, f.folder, q, f.files[i])
			helm += time.Since(began)
			if err != nil {
				b.Fatalf("helm template %s: %v", q.Release, err)
			}
			if !bytes.Equal(want, ours[q.Release]) {
				b.Fatalf("%s: the command line writes something else", q.Release)
			}
		}
	}
	for _, objects := range []bool{false, true} {
		name := "manifests"
		if objects {
			name = "objects"
		}
		b.Run(name, func(b *testing.B) {
			began, n := time.Now(), 0
			for b.Loop() {
				f.all(b, objects, version)
				n++
			}
			each := time.Since(began) / time.Duration(max(n, 1))
			b.ReportMetric(float64(each.Microseconds())/1000/float64(len(f.requests)), "ms/release")
			if helm > 0 {
				b.ReportMetric(helm.Seconds(), "helm-s")
				b.ReportMetric(helm.Seconds()/each.Seconds(), "times-faster")
			}
		})
	}
}

// helmKube is the Kubernetes version that a command line takes for granted. In
// tests the SDK takes another.
func helmKube(b *testing.B, program string) string {
	b.Helper()
	dir := b.TempDir()
	for name, text := range map[string]string{"Chart.yaml": "apiVersion: v2\nname: v\nversion: 0.0.1\n", "templates/v.yaml": "v: {{ .Capabilities.KubeVersion.Version }}\n"} {
		write(b, filepath.Join(dir, name), text)
	}
	out, err := exec.CommandContext(b.Context(), program, "template", "v", dir).Output()
	_, v, ok := strings.Cut(string(out), "v: ")
	if err != nil || !ok {
		b.Fatalf("%s: %v\n%s", program, err, out)
	}
	return strings.TrimSpace(v)
}
