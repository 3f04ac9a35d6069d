package helm

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hubship/hubship/internal/cluster"
)

// benchTree is a chart of some 25 objects of the kinds and sizes that a hub's
// chart has, none of which has to be waited for.
func benchTree(b *testing.B) fs.FS {
	b.Helper()
	var templates strings.Builder
	for i := range 6 {
		fmt.Fprintf(&templates, "---\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: \"{{ .Release.Name }}-sa%d\"}\n", i)
		fmt.Fprintf(&templates, "---\napiVersion: v1\nkind: Service\nmetadata: {name: \"{{ .Release.Name }}-svc%d\"}\nspec: {ports: [{port: 80}], selector: {a: b}}\n", i)
		fmt.Fprintf(&templates, "---\napiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: \"{{ .Release.Name }}-role%d\"}\nrules: [{apiGroups: [\"\"], resources: [pods], verbs: [get]}]\n", i)
		fmt.Fprintf(&templates, "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"{{ .Release.Name }}-cm%d\"}\ndata: {greeting: {{ .Values.greeting | quote }}, text: %q}\n", i, strings.Repeat("configuration ", 500))
	}
	return repository(b, map[string]string{"hub/templates/bench.yaml": templates.String(), "sub/templates/config.yaml": "-", "leaf/templates/config.yaml": "-"})
}

// BenchmarkNothing is the decision that a release already is as wanted.
func BenchmarkNothing(b *testing.B) {
	w := newWorld(b, nil)
	u := w.upgradeTree("1", benchTree(b))
	w.must(u)
	for b.Loop() {
		w.must(u)
	}
}

// BenchmarkUpgrade is an upgrade in which nothing has to be waited for.
func BenchmarkUpgrade(b *testing.B) {
	w := newWorld(b, nil)
	tree := benchTree(b)
	n := 0
	upgrade := func() {
		n++
		u := w.upgradeTree(fmt.Sprint(n), tree)
		u.Desired.Commit = "bench"
		w.must(u)
	}
	upgrade()
	for b.Loop() {
		upgrade()
	}
}

// BenchmarkUpgradeFarAway is the same with 20 ms to the API server.
func BenchmarkUpgradeFarAway(b *testing.B) {
	w := newWorld(b, func(o *Options) {
		o.Clusters = cluster.New(cluster.Options{Wrap: func(next http.RoundTripper) http.RoundTripper { return far{next} }})
	})
	tree := benchTree(b)
	n := 0
	upgrade := func() {
		n++
		u := w.upgradeTree(fmt.Sprint(n), tree)
		u.Desired.Commit = "bench"
		w.must(u)
	}
	upgrade()
	for b.Loop() {
		upgrade()
	}
}

type far struct{ next http.RoundTripper }

func (f far) RoundTrip(r *http.Request) (*http.Response, error) {
	time.Sleep(20 * time.Millisecond)
	return f.next.RoundTrip(r)
}

// BenchmarkTenUpgrades is ten releases side by side.
func BenchmarkTenUpgrades(b *testing.B) {
	w := newWorld(b, nil)
	tree := benchTree(b)
	n := 0
	upgrade := func() {
		n++
		var wg sync.WaitGroup
		for i := range 10 {
			wg.Go(func() {
				u := w.upgradeTree(fmt.Sprint(n), tree)
				u.Desired.Commit, u.Desired.Target.Release = "bench", fmt.Sprint("hub", i)
				if _, err := w.r.Upgrade(context.Background(), w.cluster, u); err != nil {
					b.Error(err)
				}
			})
		}
		wg.Wait()
	}
	upgrade()
	for b.Loop() {
		upgrade()
	}
}

// BenchmarkCommandLine is the same upgrade by Helm's command line, which
// HUBSHIP_TEST_HELM names.
func BenchmarkCommandLine(b *testing.B) {
	program := os.Getenv("HUBSHIP_TEST_HELM")
	if program == "" {
		b.Skip("skipped: set HUBSHIP_TEST_HELM to a helm program to compare with")
	}
	w := newWorld(b, nil)
	dir := b.TempDir()
	if err := os.CopyFS(dir, benchTree(b)); err != nil {
		b.Fatal(err)
	}
	conn, err := cluster.New(cluster.Options{}).Conn(w.cluster)
	if err != nil {
		b.Fatal(err)
	}
	if err := conn.EnsureNamespace(b.Context(), w.target); err != nil {
		b.Fatal(err)
	}
	run := func(args ...string) {
		cmd := exec.Command(program, args...)
		cmd.Env = append(os.Environ(), "HELM_CACHE_HOME="+filepath.Join(dir, "cache"), "HELM_CONFIG_HOME="+filepath.Join(dir, "config"))
		if out, err := cmd.CombinedOutput(); err != nil {
			b.Fatalf("helm: %v\n%s", err, out)
		}
	}
	run("dependency", "update", filepath.Join(dir, "sub"))
	run("dependency", "update", filepath.Join(dir, "hub"))
	upgrade := func() {
		run("upgrade", "--install", w.target.Release, filepath.Join(dir, "hub"), "-f", filepath.Join(dir, "config/staging.yaml"),
			"--kubeconfig", w.cluster.Kubeconfig, "--kube-context", w.cluster.Context, "--namespace", w.target.Namespace)
	}
	upgrade()
	for b.Loop() {
		upgrade()
	}
}
