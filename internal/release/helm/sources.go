package helm

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/Masterminds/semver/v3"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/cli"
)

// Bounds of what is fetched.
const (
	fetchTimeout = 15 * time.Second
	failedFor    = time.Minute // how long a chart that could not be fetched is not asked for again
)

// sources finds the dependencies of charts that are not in the tree: in
// folders that were named, in the cache, in Helm's own cache, and at last in
// their repository or registry. It is safe for concurrent use.
type sources struct {
	o        Charts
	remember bool // failures, so that not each of many releases waits for the same

	mu    sync.Mutex
	turns map[string]*sync.Mutex // one chart is fetched once at a time
	stale map[string]missedChart
}

type missedChart struct {
	why   string
	until time.Time
}

func newSources(o Charts) *sources {
	if o.Timeout <= 0 {
		o.Timeout = fetchTimeout
	}
	if o.Transport == nil {
		o.Transport = http.DefaultTransport
	}
	return &sources{o: o, remember: true, turns: map[string]*sync.Mutex{}, stale: map[string]missedChart{}}
}

// fetchFunc finds a dependency of a chart.
type fetchFunc func(parent *chart.Chart, dep *chart.Dependency, version string) (*chart.Chart, error)

// fetcher returns what finds the dependencies of one chart. All that it
// fetches shares one time limit. With a lock, what the lock names is taken by
// its digest alone, and found is told of everything.
func (s *sources) fetcher(ctx context.Context, lock *chartLock) fetchFunc {
	var limit time.Time
	return func(parent *chart.Chart, dep *chart.Dependency, version string) (*chart.Chart, error) {
		if limit.IsZero() {
			limit = time.Now().Add(s.o.Timeout)
		}
		ctx, cancel := context.WithDeadline(ctx, limit)
		defer cancel()
		w := dependency{name: dep.Name, version: version, repository: dep.Repository}
		if lock != nil {
			return s.locked(ctx, w, lock)
		}
		found, tried := s.find(ctx, w)
		if found != nil {
			return found, nil
		}
		return nil, missing(&MissingChartError{Chart: parent.Name(), Name: dep.Name, Version: version, Repository: dep.Repository, Tried: tried})
	}
}

// dependency is a chart by the three things that name it.
type dependency struct{ name, version, repository string }

func (w dependency) exact() bool {
	_, err := semver.StrictNewVersion(strings.TrimPrefix(w.version, "v"))
	return err == nil
}

// is says whether a chart is the one that is wanted.
func (w dependency) is(c *chart.Chart) error {
	if c.Name() != w.name {
		return fmt.Errorf("is named %s in its own Chart.yaml", c.Name())
	}
	if !satisfies(w.version, c.Metadata.Version) {
		return fmt.Errorf("has version %s", c.Metadata.Version)
	}
	return nil
}

// find returns the chart, or where it was looked for in vain.
func (s *sources) find(ctx context.Context, w dependency) (found *chart.Chart, tried []string) {
	for _, dir := range s.o.Dirs {
		c, err := inFolder(dir, w)
		if c != nil {
			return c, nil
		}
		tried = append(tried, fmt.Sprintf("%s: %v", dir, err))
	}
	if s.o.CacheDir != "" && w.exact() {
		if c, err := s.cached(w); err == nil {
			return c, nil
		}
	}
	// Helm keeps what it fetched itself by name and version alone.
	if w.exact() && s.o.CacheDir != "" {
		if c, err := loadChart(filepath.Join(cli.New().RepositoryCache, fileName(w.name)+"-"+fileName(w.version)+".tgz")); err == nil && w.is(c) == nil {
			return c, nil
		}
	}
	if w.repository == "" {
		return nil, append(tried, "it has no repository and is not in charts/")
	}
	if s.o.CacheDir == "" {
		return nil, append(tried, "it is not in charts/, and fetching is not allowed")
	}
	c, err := s.remote(ctx, w)
	if err == nil {
		return c, nil
	}
	tried = append(tried, err.Error())
	if c, cerr := s.newestCached(w); cerr == nil {
		return c, nil
	}
	return nil, tried
}

// remote fetches a chart, one caller at a time for each, and keeps it.
func (s *sources) remote(ctx context.Context, w dependency) (*chart.Chart, error) {
	if s.o.Offline {
		return nil, errors.New("the cache: not there, and hubship is running offline")
	}
	key := w.repository + "\x00" + w.name + "\x00" + w.version
	s.mu.Lock()
	turn := s.turns[key]
	if turn == nil {
		turn = &sync.Mutex{}
		s.turns[key] = turn
	}
	s.mu.Unlock()
	turn.Lock()
	defer turn.Unlock()
	if w.exact() {
		if c, err := s.cached(w); err == nil {
			return c, nil // fetched while this waited
		}
	}
	s.mu.Lock()
	failed, known := s.stale[key]
	s.mu.Unlock()
	if known && time.Now().Before(failed.until) {
		return nil, errors.New(failed.why)
	}
	c, err := s.download(ctx, w)
	if err != nil {
		err = fmt.Errorf("%s: %w", w.repository, err)
		if s.remember && !errors.Is(context.Cause(ctx), context.Canceled) {
			s.mu.Lock()
			s.stale[key] = missedChart{why: err.Error(), until: time.Now().Add(failedFor)}
			s.mu.Unlock()
		}
		return nil, err
	}
	return c, nil
}

// download fetches a chart, checks it and keeps it.
func (s *sources) download(ctx context.Context, w dependency) (*chart.Chart, error) {
	c, data, err := s.archive(ctx, w)
	if err != nil {
		return nil, err
	}
	w.version = c.Metadata.Version
	if err := s.keep(w, data); err != nil {
		return nil, err
	}
	return c, nil
}

// archive fetches a chart's archive, and checks that it is that chart's.
func (s *sources) archive(ctx context.Context, w dependency) (*chart.Chart, []byte, error) {
	data, err := fetchChart(ctx, s.o.Transport, w)
	if err != nil {
		return nil, nil, err
	}
	c, err := parseChart(data)
	if err != nil {
		return nil, nil, err
	}
	if err := w.is(c); err != nil {
		return nil, nil, fmt.Errorf("the fetched chart %w", err)
	}
	return c, data, nil
}

// The cache holds archives by their digests, and for each chart the digest of
// its archive. No two repositories share a folder, also where they differ only
// in what a file's name cannot have.
func (s *sources) reference(w dependency) string {
	folder := fileName(w.repository)
	folder = folder[:min(len(folder), 80)] + "-" + digestOf([]byte(w.repository))[:16]
	return filepath.Join(s.o.CacheDir, "charts", folder, fileName(w.name)+"-"+fileName(strings.TrimPrefix(w.version, "v"))+".sha256")
}

func (s *sources) content(digest string) string {
	return filepath.Join(s.o.CacheDir, "content", "sha256-"+digest+".tgz")
}

func (s *sources) keep(w dependency, data []byte) error {
	digest := digestOf(data)
	if err := writeFile(s.content(digest), data); err != nil {
		return fmt.Errorf("keep fetched chart: %w", err)
	}
	if err := writeFile(s.reference(w), []byte(digest+"\n")); err != nil {
		return fmt.Errorf("keep fetched chart: %w", err)
	}
	return nil
}

// cached returns a chart out of the cache. One that was damaged is as good as
// none.
func (s *sources) cached(w dependency) (*chart.Chart, error) {
	raw, err := readBounded(s.reference(w), 1<<10)
	if err != nil {
		return nil, err
	}
	digest := strings.TrimSpace(string(raw))
	if sum, err := hex.DecodeString(digest); err != nil || len(sum) != sha256.Size {
		return nil, errors.New("the cache is damaged")
	}
	c, err := s.byDigest(digest)
	if err != nil {
		return nil, err
	}
	return c, w.is(c)
}

// byDigest returns a chart of the cache by the digest of its archive.
func (s *sources) byDigest(digest string) (*chart.Chart, error) {
	data, err := readBounded(s.content(digest), maxChart)
	if err != nil {
		return nil, err
	}
	if digestOf(data) != digest {
		return nil, errors.New("the cache is damaged")
	}
	return parseChart(data)
}

// newestCached returns the newest chart of the cache that will do.
func (s *sources) newestCached(w dependency) (*chart.Chart, error) {
	prefix := fileName(w.name) + "-"
	entries, err := os.ReadDir(filepath.Dir(s.reference(w)))
	if err != nil {
		return nil, err
	}
	var versions []string
	for _, e := range entries {
		if v, ok := strings.CutPrefix(e.Name(), prefix); ok {
			versions = append(versions, strings.TrimSuffix(v, ".sha256"))
		}
	}
	best, ok := newest(versions, w.version)
	if !ok {
		return nil, fs.ErrNotExist
	}
	w.version = best
	return s.cached(w)
}

// newest returns the newest version within a range.
func newest(versions []string, wanted string) (string, bool) {
	best, text := (*semver.Version)(nil), ""
	for _, v := range versions {
		if !satisfies(wanted, v) {
			continue
		}
		if parsed, err := semver.NewVersion(v); err == nil && (best == nil || parsed.GreaterThan(best)) {
			best, text = parsed, v
		}
	}
	return text, best != nil
}

// inFolder looks for a chart in a folder: as an archive of its name and
// version, as an unpacked chart, or the folder is the chart itself. The newest
// version that will do is taken.
func inFolder(dir string, w dependency) (*chart.Chart, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, errors.New("cannot be read")
	}
	places := map[string]string{} // by version
	see := func(at, version string) {
		if version != "" && places[version] == "" {
			places[version] = at
		}
	}
	for _, e := range entries {
		at := filepath.Join(dir, e.Name())
		if v, ok := strings.CutPrefix(e.Name(), w.name+"-"); ok && strings.HasSuffix(v, ".tgz") {
			see(at, strings.TrimSuffix(v, ".tgz"))
		}
		if e.Name() == w.name {
			see(at, versionIn(at, w.name))
		}
		if e.Name() == "Chart.yaml" {
			see(dir, versionIn(dir, w.name))
		}
	}
	versions := make([]string, 0, len(places))
	for v := range places {
		versions = append(versions, v)
	}
	best, ok := newest(versions, w.version)
	if !ok {
		if len(versions) > 0 {
			return nil, fmt.Errorf("has only version %s", strings.Join(versions, ", "))
		}
		return nil, errors.New("not there")
	}
	c, err := loadChart(places[best])
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(places[best]), err)
	}
	if err := w.is(c); err != nil {
		return nil, fmt.Errorf("%s %w", filepath.Base(places[best]), err)
	}
	return c, nil
}

// versionIn reads the version of an unpacked chart.
func versionIn(dir, name string) string {
	data, err := readBounded(filepath.Join(dir, "Chart.yaml"), 1<<20)
	if err != nil {
		return ""
	}
	return metadataVersion(data, name)
}

// loadChart loads an archive or an unpacked chart.
func loadChart(at string) (*chart.Chart, error) {
	info, err := os.Stat(at)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		return loader.LoadDir(at)
	}
	data, err := readBounded(at, maxChart)
	if err != nil {
		return nil, err
	}
	return parseChart(data)
}

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}
