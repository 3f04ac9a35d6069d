package helm

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// keptCharts is how many loaded charts are kept. Two environments of a fleet
// use one or two at a time.
const keptCharts = 8

// chartCache loads charts once for each commit.
type chartCache struct {
	sources *sources

	mu    sync.Mutex
	seen  map[string]*cachedChart
	order []string // of use, newest last
}

type cachedChart struct {
	once   sync.Once
	chart  *chart.Chart
	charts []model.ResolvedChart
	err    error
}

// deployFetchTimeout bounds what is fetched for a chart that is about to be
// deployed. More patience than for a plan: without the chart all is in vain.
const deployFetchTimeout = time.Minute

// newChartCache returns a cache of loaded charts. dir keeps what was fetched;
// "" means that nothing may be.
func newChartCache(dir string, via http.RoundTripper) *chartCache {
	muteValues()
	s := newSources(Charts{CacheDir: dir, Timeout: deployFetchTimeout, Transport: via})
	s.remember = false // each attempt to deploy asks again
	return &chartCache{sources: s, seen: map[string]*cachedChart{}}
}

// load returns a copy of the chart that the caller may change, and the charts
// from repositories that it is made of. Those of want are taken by their
// digests; strict says that there may be no others. The tree is that of the
// commit; without a commit nothing is remembered.
func (c *chartCache) load(ctx context.Context, tree fs.FS, commit, dir string, want []model.ResolvedChart, strict bool) (*chart.Chart, []model.ResolvedChart, error) {
	if tree == nil {
		return nil, nil, fmt.Errorf("load chart %s: no tree was given", dir)
	}
	read := func() (*chart.Chart, []model.ResolvedChart, error) {
		lock := &chartLock{want: want, strict: strict}
		l := newChartLoader(tree, c.sources.fetcher(ctx, lock))
		ch, err := l.load(dir, 0)
		return ch, lock.sorted(), err
	}
	if commit == "" {
		return read()
	}
	key := fmt.Sprintf("%s:%s %v %q", commit, dir, strict, want)
	entry := c.entry(key)
	entry.once.Do(func() { entry.chart, entry.charts, entry.err = read() })
	if entry.err != nil {
		// A repository that did not answer may answer the next time.
		c.forget(key, entry)
		return nil, nil, entry.err
	}
	if ctx.Err() != nil {
		return nil, nil, context.Cause(ctx)
	}
	return copyChart(entry.chart), slices.Clone(entry.charts), nil
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

func copyMap(m map[string]any) map[string]any {
	if m == nil {
		return nil
	}
	return release.Copy(m).(map[string]any)
}
