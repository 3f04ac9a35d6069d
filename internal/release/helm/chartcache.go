package helm

import (
	"context"
	"fmt"
	"io/fs"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"
	"helm.sh/helm/v4/pkg/downloader"
	"helm.sh/helm/v4/pkg/getter"
	"helm.sh/helm/v4/pkg/registry"
	"helm.sh/helm/v4/pkg/repo/v1"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// keptCharts is how many loaded charts are kept. Two environments of a fleet
// use one or two at a time.
const keptCharts = 8

// chartCache loads charts once for each commit.
type chartCache struct {
	dir string // of what was fetched; "" means that nothing may be

	mu    sync.Mutex
	seen  map[string]*cachedChart
	order []string // of use, newest last
}

type cachedChart struct {
	once  sync.Once
	chart *chart.Chart
	err   error
}

func newChartCache(dir string) *chartCache {
	return &chartCache{dir: dir, seen: map[string]*cachedChart{}}
}

// load returns a copy of the chart that the caller may change. The tree is
// that of the commit; without a commit nothing is remembered.
func (c *chartCache) load(ctx context.Context, tree fs.FS, commit, dir string) (*chart.Chart, error) {
	if tree == nil {
		return nil, fmt.Errorf("load chart %s: no tree was given", dir)
	}
	read := func() (*chart.Chart, error) {
		l := &chartLoader{tree: tree, budget: maxChart}
		if c.dir != "" {
			l.fetch = c.fetch
		}
		return l.load(dir, 0)
	}
	if commit == "" {
		return read()
	}
	entry := c.entry(commit + ":" + dir)
	entry.once.Do(func() { entry.chart, entry.err = read() })
	if entry.err != nil {
		// A repository that did not answer may answer the next time.
		c.forget(commit+":"+dir, entry)
		return nil, entry.err
	}
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	return copyChart(entry.chart), nil
}

func (c *chartCache) entry(key string) *cachedChart {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.order = append(slices.DeleteFunc(c.order, func(k string) bool { return k == key }), key)
	if e := c.seen[key]; e != nil {
		return e
	}
	if len(c.order) > keptCharts {
		delete(c.seen, c.order[0])
		c.order = c.order[1:]
	}
	e := &cachedChart{}
	c.seen[key] = e
	return e
}

func (c *chartCache) forget(key string, e *cachedChart) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen[key] == e {
		delete(c.seen, key)
	}
}

// fetch gets a dependency from its repository or registry. What was fetched at
// an exact version is kept, and used again without asking.
func (c *chartCache) fetch(parent *chart.Chart, dep *chart.Dependency, version string) (*chart.Chart, error) {
	fail := func(err error) error {
		return model.WithHint(
			fmt.Errorf("fetch dependency %s %s of chart %s from %s: %w", dep.Name, version, parent.Name(), dep.Repository, err),
			"vendor it: run `helm dependency update` in the chart's folder and commit charts/; or check the repository's address and that it is reachable from here")
	}
	exact, _ := semver.StrictNewVersion(strings.TrimPrefix(version, "v"))
	kept := filepath.Join(c.dir, "charts", fileName(dep.Repository), fileName(dep.Name)+"-"+fileName(version)+".tgz")
	if exact != nil {
		if sub, err := loader.LoadFile(kept); err == nil && sub.Name() == dep.Name {
			return sub, nil
		}
	}
	file, err := c.download(dep, version)
	if err != nil {
		return nil, fail(err)
	}
	sub, err := loader.LoadFile(file)
	if err != nil {
		return nil, fail(err)
	}
	if exact != nil {
		if err := keep(file, kept); err != nil {
			return nil, fail(err)
		}
	}
	return sub, nil
}

// download brings a chart into the content cache, which is keyed by digest.
func (c *chartCache) download(dep *chart.Dependency, version string) (string, error) {
	getters := getter.Getters()
	clientOpts := []registry.ClientOption{registry.ClientOptEnableCache(true), registry.ClientOptWriter(discardWriter{})}
	getterOpts := []getter.Option{}
	if registry.IsOCI(dep.Repository) && onLoopback(dep.Repository) {
		// A registry on this machine, such as the embedded one, has no
		// certificate.
		clientOpts = append(clientOpts, registry.ClientOptPlainHTTP())
		getterOpts = append(getterOpts, getter.WithPlainHTTP(true))
	}
	reg, err := registry.NewClient(clientOpts...)
	if err != nil {
		return "", fmt.Errorf("prepare registry client: %w", err)
	}
	content := filepath.Join(c.dir, "content")
	dl := &downloader.ChartDownloader{
		Out: discardWriter{}, Getters: getters, RegistryClient: reg, Verify: downloader.VerifyNever,
		Options:      append(getterOpts, getter.WithRegistryClient(reg)),
		ContentCache: content, RepositoryCache: filepath.Join(c.dir, "index"),
		RepositoryConfig: filepath.Join(c.dir, "repositories.yaml"),
		Cache:            &downloader.DiskCache{Root: content},
	}
	ref := strings.TrimSuffix(dep.Repository, "/") + "/" + dep.Name
	switch {
	case registry.IsOCI(dep.Repository):
	case strings.HasPrefix(dep.Repository, "http://"), strings.HasPrefix(dep.Repository, "https://"):
		if ref, err = c.locate(dep, version, getters); err != nil {
			return "", err
		}
	default:
		return "", fmt.Errorf("the repository %q is neither http(s)://, oci:// nor file://; repository names of one machine (@name, alias:name) mean nothing elsewhere", dep.Repository)
	}
	file, _, err := dl.DownloadToCache(ref, version)
	return file, err
}

// onLoopback says that an address is this machine's own.
func onLoopback(address string) bool {
	u, err := url.Parse(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(u.Hostname())
	return u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
}

// locate finds the address of a chart's version in a repository's index.
func (c *chartCache) locate(dep *chart.Dependency, version string, getters getter.Providers) (string, error) {
	r, err := repo.NewChartRepository(&repo.Entry{Name: fileName(dep.Repository), URL: dep.Repository}, getters)
	if err != nil {
		return "", fmt.Errorf("open repository: %w", err)
	}
	r.CachePath = filepath.Join(c.dir, "index")
	index, err := r.DownloadIndexFile()
	if err != nil {
		return "", fmt.Errorf("read the repository's index: %w", err)
	}
	idx, err := repo.LoadIndexFile(index)
	if err != nil {
		return "", fmt.Errorf("read the repository's index: %w", err)
	}
	found, err := idx.Get(dep.Name, version)
	if err != nil {
		return "", fmt.Errorf("find %s %s in the repository's index: %w", dep.Name, version, err)
	}
	if len(found.URLs) == 0 {
		return "", fmt.Errorf("the repository's index has no address for %s %s", dep.Name, version)
	}
	return repo.ResolveReferenceURL(dep.Repository, found.URLs[0])
}

// keep copies a file to where it is found by name and version, atomically.
func keep(from, to string) error {
	data, err := os.ReadFile(from)
	if err != nil {
		return fmt.Errorf("keep fetched chart: %w", err)
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
		return fmt.Errorf("keep fetched chart: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(to), ".chart-*")
	if err != nil {
		return fmt.Errorf("keep fetched chart: %w", err)
	}
	_, err = tmp.Write(data)
	if cerr := tmp.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = os.Rename(tmp.Name(), to)
	}
	if err != nil {
		_ = os.Remove(tmp.Name())
		return fmt.Errorf("keep fetched chart: %w", err)
	}
	return nil
}

// fileName makes a file's name of any text.
func fileName(s string) string {
	out := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '-', r == '_', r == '+':
			return r
		}
		return '_'
	}, s)
	if out == "" || out[0] == '.' {
		out = "_" + out
	}
	return out
}

// satisfies says whether a version is within a range, by the very rule by
// which the SDK later matches dependencies to charts: one that it does not
// match is dropped there without a word.
func satisfies(wanted, version string) bool {
	return chartutil.IsCompatibleRange(wanted, version)
}

type discardWriter struct{}

func (discardWriter) Write(p []byte) (int, error) { return len(p), nil }

func copyMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	return release.Copy(m).(map[string]any)
}
