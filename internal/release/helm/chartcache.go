package helm

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"slices"
	"strings"
	"time"

	chart "helm.sh/helm/v4/pkg/chart/v2"
	chartutil "helm.sh/helm/v4/pkg/chart/v2/util"

	"github.com/hubship/hubship/internal/cache"
	"github.com/hubship/hubship/internal/model"
	"github.com/hubship/hubship/internal/release"
)

// keptCharts is how many loaded charts are kept. Two environments of a fleet
// use one or two at a time.
const keptCharts = 8

// chartCache loads charts once for each commit.
type chartCache struct {
	sources *sources
	kept    *cache.Cache[cachedChart]
}

type cachedChart struct {
	chart  *chart.Chart
	charts []model.ResolvedChart
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
	return &chartCache{sources: s, kept: cache.New[cachedChart](keptCharts)}
}

// load returns a copy of the chart that the caller may change, and the charts
// from repositories that it is made of. Those of want are taken by their
// digests; strict says that there may be no others. The tree is that of the
// commit; without a commit nothing is remembered.
func (c *chartCache) load(ctx context.Context, tree fs.FS, commit, dir string, want []model.ResolvedChart, strict bool) (*chart.Chart, []model.ResolvedChart, error) {
	if tree == nil {
		return nil, nil, fmt.Errorf("load chart %s: no tree was given", dir)
	}
	read := func(ctx context.Context) (cachedChart, error) {
		lock := &chartLock{want: want, strict: strict}
		l := newChartLoader(tree, c.sources.fetcher(ctx, lock))
		ch, err := l.load(dir, 0)
		return cachedChart{ch, lock.sorted()}, err
	}
	if commit == "" {
		own, err := read(ctx)
		return own.chart, own.charts, err
	}
	shared, err := c.kept.Get(ctx, fmt.Sprintf("%s:%s %v %q", commit, dir, strict, want), read)
	if err != nil {
		return nil, nil, err
	}
	return copyChart(shared.chart), slices.Clone(shared.charts), nil
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
