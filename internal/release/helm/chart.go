package helm

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"helm.sh/helm/v4/pkg/chart/loader/archive"
	chart "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/ignore"

	"github.com/hubship/hubship/internal/model"
)

// Bounds of a chart.
const (
	maxChart = 50 << 20 // bytes, all files with those of file:// dependencies
	maxFile  = 10 << 20 // bytes
	maxDepth = 10       // of dependencies
)

// chartLoader loads one chart with its dependencies out of a tree.
type chartLoader struct {
	tree   fs.FS
	budget int64
	unpack *unpacking
	fetch  fetchFunc
}

func newChartLoader(tree fs.FS, fetch fetchFunc) *chartLoader {
	return &chartLoader{tree: tree, budget: maxChart, unpack: newUnpacking(), fetch: fetch}
}

// load reads the chart in a folder of the tree, and completes its
// dependencies: those in charts/ as they are, file:// ones from the tree, and
// the rest through fetch.
func (l *chartLoader) load(dir string, depth int) (*chart.Chart, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("chart %s: dependencies are nested more than %d levels deep; do they depend on each other?", dir, maxDepth)
	}
	files, err := l.files(dir)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", dir, err)
	}
	if !slices.ContainsFunc(files, func(f *archive.BufferedFile) bool { return f.Name == "Chart.yaml" }) {
		return nil, model.WithHint(fmt.Errorf("chart %s: Chart.yaml is missing", dir), "check hubs.chart in hubship.yaml")
	}
	for _, f := range files {
		if err := l.unpack.file(f.Name, int64(len(f.Data))); err != nil {
			return nil, fmt.Errorf("chart %s: %w", dir, err)
		}
		if nested(f.Name) {
			if err := l.unpack.archive(f.Data, 1); err != nil {
				return nil, fmt.Errorf("chart %s: %s: %w", dir, f.Name, err)
			}
		}
	}
	c, err := loader.LoadFiles(files)
	if err != nil {
		return nil, fmt.Errorf("chart %s: %w", dir, err)
	}
	if err := l.complete(c, dir, depth); err != nil {
		return nil, fmt.Errorf("chart %s: %w", dir, err)
	}
	return c, nil
}

// files reads a chart's folder, without what its .helmignore names.
func (l *chartLoader) files(dir string) ([]*archive.BufferedFile, error) {
	rules := ignore.Empty()
	if data, err := fs.ReadFile(l.tree, path.Join(dir, ignore.HelmIgnore)); err == nil {
		if rules, err = ignore.Parse(bytes.NewReader(data)); err != nil {
			return nil, fmt.Errorf("%s: %w", ignore.HelmIgnore, err)
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	rules.AddDefaults()
	var out []*archive.BufferedFile
	err := fs.WalkDir(l.tree, dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		if dir == "." {
			rel = name
		}
		if rel == "" || rel == "." {
			return nil
		}
		info, err := fs.Stat(l.tree, name) // through links within the tree
		if err != nil {
			return fmt.Errorf("read %s: %w", rel, err)
		}
		if rules.Ignore(rel, info) {
			if d.IsDir() {
				return fs.SkipDir
			}
			return nil
		}
		if d.IsDir() {
			return nil
		}
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is not a regular file", rel)
		}
		if info.Size() > maxFile {
			return fmt.Errorf("%s has %d bytes; the limit for a file in a chart is %d; exclude it with .helmignore", rel, info.Size(), int64(maxFile))
		}
		if l.budget -= info.Size(); l.budget < 0 {
			return fmt.Errorf("the chart is larger than %d bytes; exclude what it does not need with .helmignore", int64(maxChart))
		}
		data, err := fs.ReadFile(l.tree, name)
		if err != nil {
			return fmt.Errorf("read %s: %w", rel, err)
		}
		out = append(out, &archive.BufferedFile{Name: rel, Data: bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))})
		return nil
	})
	return out, err
}

// complete adds the dependencies that are declared and not in charts/.
func (l *chartLoader) complete(c *chart.Chart, dir string, depth int) error {
	for _, sub := range c.Dependencies() {
		// What is vendored may itself have file:// dependencies beside it.
		if err := l.complete(sub, path.Join(dir, "charts", sub.Name()), depth+1); err != nil {
			return err
		}
	}
	done := map[string]bool{}
	for _, dep := range c.Metadata.Dependencies {
		id := dep.Name + "\x00" + dep.Repository + "\x00" + dep.Version
		if vendored(c, dep) || done[id] { // one chart under several aliases is loaded once
			continue
		}
		done[id] = true
		sub, err := l.dependency(c, dep, dir, depth)
		if err != nil {
			return err
		}
		if sub.Name() != dep.Name {
			return fmt.Errorf("dependency %s from %s is named %s in its own Chart.yaml", dep.Name, dep.Repository, sub.Name())
		}
		if !satisfies(dep.Version, sub.Metadata.Version) {
			return model.WithHint(fmt.Errorf("dependency %s requires version %q, but %s has %s", dep.Name, dep.Version, dep.Repository, sub.Metadata.Version),
				"fix the version in Chart.yaml")
		}
		c.AddDependency(sub)
	}
	return nil
}

func (l *chartLoader) dependency(c *chart.Chart, dep *chart.Dependency, dir string, depth int) (*chart.Chart, error) {
	if local, ok := strings.CutPrefix(dep.Repository, "file://"); ok {
		at := path.Join(dir, local)
		if path.IsAbs(local) || !fs.ValidPath(at) {
			return nil, fmt.Errorf("dependency %s: %s leads out of the repository", dep.Name, dep.Repository)
		}
		sub, err := l.load(at, depth+1)
		if err != nil {
			return nil, fmt.Errorf("dependency %s: %w", dep.Name, err)
		}
		return sub, nil
	}
	if err := checkLock(c); err != nil {
		return nil, err
	}
	return l.fetch(c, dep, lockedVersion(c, dep))
}

// lockedVersion is the version that Chart.lock pins, or the declared one.
func lockedVersion(c *chart.Chart, dep *chart.Dependency) string {
	if c.Lock == nil {
		return dep.Version
	}
	for _, locked := range c.Lock.Dependencies {
		if locked.Name == dep.Name && locked.Repository == dep.Repository && satisfies(dep.Version, locked.Version) {
			return locked.Version
		}
	}
	return dep.Version
}

func vendored(c *chart.Chart, dep *chart.Dependency) bool {
	return slices.ContainsFunc(c.Dependencies(), func(sub *chart.Chart) bool {
		return sub.Name() == dep.Name && satisfies(dep.Version, sub.Metadata.Version)
	})
}

// copyChart copies a chart's tree and metadata for one action. Processing
// dependencies changes both: a subchart that one release switches off would
// vanish for all others. Files are shared; nothing writes to them.
func copyChart(c *chart.Chart) *chart.Chart {
	out := *c
	meta := *c.Metadata
	meta.Dependencies = make([]*chart.Dependency, len(c.Metadata.Dependencies))
	for i, d := range c.Metadata.Dependencies {
		dep := *d
		meta.Dependencies[i] = &dep
	}
	out.Metadata = &meta
	out.Values = copyMap(c.Values)
	out.SetDependencies()
	for _, sub := range c.Dependencies() {
		out.AddDependency(copyChart(sub))
	}
	return &out
}
